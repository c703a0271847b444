"""Retrieval: a query becomes a coarse pool, a multimodal model reads it, and every step of the decision can be looked at."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from app import atlas_ui, parse, state, ui
from app.opened import corpora, models
from app.pages.retrieval import bar, exports
from app.pages.retrieval.address import follow_address, show_address
from app.pages.retrieval.form import fill
from app.pages.retrieval.request import FIRST_STEP, STEPS
from app.pages.retrieval.scene import Scene
from app.pages.retrieval.session import Run, Session
from app.pages.retrieval.steps import cards, drawing, enhancement
from app.pages.retrieval.view import View, view_of, waiting
from app.ui import tag

if TYPE_CHECKING:
    from app.work import Job

BEGIN_WITH = 36
"""Pictures offered before the first search."""

POLL, SLOW_POLL = 0.5, 1.5
"""Seconds between two looks at a search that reads, and at one that waits or loads (a look costs the loading its time)."""

SLOWEST = 6.0
"""A machine that cannot keep up is looked at half as often, again and again, down to once in this many seconds."""


def page() -> None:
    """The page."""
    ui.install_style(Path(__file__).parent)
    session = st.session_state.setdefault("retrieval", Session())
    follow_address(session)
    atlas_ui.page_title(
        "Retrieval",
        "Embeddings find a small pool; a multimodal model then reads each candidate together with the query and decides. The "
        "arrow keys step through how it came about.",
    )
    ui.onboarding(
        "retrieval",
        "How to read a search",
        (
            "Embeddings are quick but blind to details, the model is slow but reads: so the model only sees the pool. What the "
            "pool lacks, no score can bring back.",
            "A score comes from the probabilities the model gives to its next word. Look at the label mass first: when it is "
            "low, the model wanted to say something else than True or False.",
        ),
    )
    request = bar.draw(session)
    _missing()
    run = session.run
    if run is None:
        _welcome(session)
        return
    if replace(request, text=run.request.text) != run.request:
        st.caption(
            ":material/history: Settings or picture changed since this search. Press Search to see their effect."
        )
    if session.step == "concepts":
        session.look(state.atlas(), view_of(run.job.events))
    polling = _pace(session)
    session.polled = None
    st.fragment(_results, run_every=polling)(polling)


def _welcome(session: Session) -> None:
    """Before the first search: pictures to begin with, and who will answer."""
    entry = corpora.entry(session.draft.corpus)
    if entry is None or entry.corpus is None:
        ui.empty("This corpus cannot be opened", entry.problem if entry is not None else "It is not in the list.")
        return
    rows = bar.offered(entry, "", session.offered, BEGIN_WITH)
    ui.live(
        tag(
            "div",
            ui.section("Or begin with a picture", f"a click searches {entry.corpus.name} for what fits it"),
            bar.picks(entry, rows, wide=True),
            tag("button", "Others", data_on="shuffle", cls="as-more"),
        ),
        key="retrieval_begin",
        on_event=bar.on_event,
    )
    title = ui.plain(models.mllm_title())
    note = models.DEMO_NOTE if models.mllm() == models.DEMO else "Named with `atomscope serve --mllm`."
    st.caption(
        f"Read by **{title}**: {note} A search goes on for a minute when you open another page, then it is stopped."
    )


def _missing() -> None:
    """What cannot work on this machine yet, and the command that makes it work."""
    if lacking := models.missing_weights("coarse"):
        ui.empty("The weights are not here", f"Searching needs {' and '.join(lacking)}.", models.WEIGHTS)
    elif models.mllm() == models.DEMO and (lacking := models.missing_weights("fine")):
        ui.empty("The coarse stage answers alone", f"Reading the pool needs {' and '.join(lacking)}.", models.WEIGHTS)


def _pace(session: Session) -> float | None:
    """Seconds until the next look at what the worker does for this session, None when it does nothing."""
    run = session.run
    if run is None or not (run.job.active or any(job.active for job in run.looks.values())):
        return None
    reading = run.job.state == "running" and not run.job.stage
    return min((POLL if reading else SLOW_POLL) * session.slowness, SLOWEST)


# The results.


def _results(polling: float | None) -> None:
    session: Session = st.session_state["retrieval"]
    run = session.run
    if run is None:
        return
    step = st.query_params.get("step", session.step)
    session.step = step if step in STEPS else FIRST_STEP
    pace = _pace(session)  # before the events are read: nothing that comes later is missed
    now, first = time.monotonic(), session.polled is None
    if polling is not None and session.polled is not None and now - session.polled > 2.5 * polling:
        session.slowness = min(2 * session.slowness, 16)
        pace = None if pace is None else min(2 * pace, SLOWEST)
    session.polled = now
    events = run.job.events
    view = view_of(events)
    _status(session, run, view)
    if view.pool is not None:
        _step(session, run, view)
    # A rerun inside the first run would take the place of widgets the browser has not seen yet, and their values with them.
    if not first and polling != (pace if pace is not None else _pace(session)):
        st.rerun()  # the whole page, once: polling begins, ends or changes its pace there


def _status(session: Session, run: Run, view: View) -> None:
    """What goes on, how far it is, and the button that stops it; or how it ended."""
    job = run.job
    if job.active:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="retrieval_status"):
            st.markdown(_doing(session, run, view), width="content")
            st.button("Cancel", key="retrieval_cancel", icon=":material/stop_circle:", on_click=job.cancel)
    if job.state == "failed":
        command = models.WEIGHTS if models.WEIGHTS in job.error else ""
        ui.empty("This search could not be made", job.error, command)
    elif job.state == "cancelled" and view.pool is None:
        st.caption("Cancelled before the pool was ready.")
    for sentence in job.warnings:
        st.warning(ui.plain(sentence), icon=":material/info:")


def _doing(session: Session, run: Run, view: View) -> str:
    job = run.job
    if job.state == "waiting":
        ahead = session.queue.ahead(job)
        others = f"{ahead} other {'search is' if ahead == 1 else 'searches are'} before it" if ahead else "starting"
        return f":material/hourglass_empty: Waiting: {others}."
    now = time.monotonic() - (job.began or job.asked)
    if view.pool is None or job.stage:
        return f":material/downloading: {_loading(job)}, {now:.0f} s so far"
    left = waiting(view, job.times, job.events, now)
    eta = f", about {left.seconds:.0f} s left" if left.seconds is not None and left.seconds >= 1 else ""
    return f":material/visibility: Reading candidate {min(left.done + 1, left.total)} of {left.total}{eta}"


def _loading(job: Job) -> str:
    if not job.stage:
        return "Searching the gallery"
    count = f": {job.count:,} of {job.total:,} {job.unit}" if job.total else ""
    return ui.plain(f"{job.stage}{count}")


def _step(session: Session, run: Run, view: View) -> None:
    entry = corpora.entry(run.request.corpus)
    if entry is None or entry.corpus is None:
        return
    answer = models.answer_of(entry, run.request)
    source = bar.picture_source(session, entry, run.request)
    scene = Scene(entry.content, entry.corpus.items, run.request, answer, source)
    ui.live(cards.funnel(scene, view), key="retrieval_funnel")
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small", key="retrieval_stepper"):
        st.button("", key="retrieval_previous", icon=":material/arrow_back:", shortcut="Left", on_click=_go, args=(-1,))
        st.button("", key="retrieval_next", icon=":material/arrow_forward:", shortcut="Right", on_click=_go, args=(1,))
        ui.live(drawing.stepper(session.step, view), key="retrieval_steps", on_event=_on_event)
    if session.step == "concepts":
        _concepts(session, scene, view)
    elif session.step == "export":
        _export(run, scene, view)
    else:
        ui.live(_body(session, scene, view), key="retrieval_body", on_event=_on_event)
    if session.step == "enhance" and run.request.enhance == "off" and view.scored:
        st.button("Search again with enhancement", key="retrieval_enhance_now", on_click=_enhance_now)
    note = models.DEMO_NOTE if models.mllm() == models.DEMO else ""
    ui.live(drawing.models(view, models.mllm_title(), note), key="retrieval_models")


def _body(session: Session, scene: Scene, view: View) -> ui.Html:
    if session.step == "pool":
        return drawing.pool(scene, view)
    if session.step == "enhance":
        return enhancement.enhance(scene, view, session.picked)
    if session.step == "ranks":
        return drawing.ranks(scene, view)
    if session.step == "prompt":
        return drawing.prompt(scene, view, session.picked)
    if session.step == "sweep":
        return drawing.pool_size(scene, view)
    return drawing.fine(scene, view)


def _concepts(session: Session, scene: Scene, view: View) -> None:
    from app.pages.retrieval.steps.concepts import concepts

    atlas = state.atlas()
    job = session.look(atlas, view)
    if job is None:
        st.caption("Concepts are compared when the search is over.")
        return
    if job.active:
        done = len(job.events)
        st.markdown(f":material/visibility: {_loading(job) if job.stage else f'Looking at picture {done + 1}'}")
    elif job.state == "failed":
        ui.empty("Concepts cannot be shown", job.error, models.WEIGHTS if models.WEIGHTS in job.error else "")
    looked = job.events
    if looked and not job.active:
        ui.live(concepts(atlas, scene, view, looked), key="retrieval_body", on_event=_on_event)


def _export(run: Run, scene: Scene, view: View) -> None:
    captions = {row.entry.item: scene.caption(row.entry.item) for row in view.rows}
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="retrieval_export"):
        for label, data, name, kind in (
            ("Candidates as CSV", exports.as_csv(view, captions), "retrieval.csv", "text/csv"),
            (
                "Everything as JSON",
                exports.as_json(view, run.request, captions, scene.answer),
                "retrieval.json",
                "application/json",
            ),
        ):
            st.download_button(
                label, data, name, kind, icon=":material/download:", on_click="ignore", key=f"retrieval_{name}"
            )
        st.caption(
            "The address of this page repeats the search"
            + (", except for the uploaded picture, which stays on your machine." if run.request.upload else ".")
        )
    ui.live(drawing.results_table(scene, view), key="retrieval_body")


# What a person does.


def _go(by: int) -> None:
    session: Session = st.session_state["retrieval"]
    names = list(STEPS)
    _open_step(session, names[min(max(names.index(session.step) + by, 0), len(names) - 1)])


def _open_step(session: Session, step: str) -> None:
    session.step = step
    show_address(session)


def _on_event(event: ui.Event) -> None:
    session: Session = st.session_state["retrieval"]
    if event.on == "step" and event.value in STEPS:
        _open_step(session, event.value)
    elif event.on == "pick" and (picked := parse.whole(event.value)) is not None:
        session.picked = picked
        show_address(session)


def _enhance_now() -> None:
    session: Session = st.session_state["retrieval"]
    if session.run is None:
        return
    request = replace(session.run.request, enhance="paper")
    fill(session, request)
    bar.start(session, request)
    _open_step(session, "enhance")
