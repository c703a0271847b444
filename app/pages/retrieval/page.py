"""Retrieval: a query becomes a coarse pool, a multimodal model reads it, and every step of the decision can be looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import streamlit as st

from app import atlas_ui, parse, state, ui
from app.opened import corpora, models
from app.pages.retrieval import pictures
from app.pages.retrieval.address import follow_address, show_address
from app.pages.retrieval.bar import bar
from app.pages.retrieval.form import start
from app.pages.retrieval.outcome import Outcome, outcome_of
from app.pages.retrieval.request import FIRST_STEP, STEPS
from app.pages.retrieval.session import RetrievalSession, SearchRun, current
from app.pages.retrieval.status import failed, pace, slowed, stage, status
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.concepts import concepts
from app.pages.retrieval.steps.enhancement import enhancement
from app.pages.retrieval.steps.export import as_csv, as_json, results_table
from app.pages.retrieval.steps.fine import fine
from app.pages.retrieval.steps.pool import pool
from app.pages.retrieval.steps.pool_sizes import pool_sizes
from app.pages.retrieval.steps.prompt import prompt
from app.pages.retrieval.steps.ranks import ranks
from app.pages.retrieval.view import funnel, models_line, stepper

BODIES = {
    "pool": pool,
    "fine": fine,
    "enhance": enhancement,
    "ranks": ranks,
    "prompt": prompt,
    "sweep": pool_sizes,
}
"""What a step draws, by its name in addresses; concepts and export draw controls as well, see :func:`_step`."""


def page() -> None:
    """The page."""
    ui.install_style(Path(__file__).parent)
    session = current()
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
    request = bar(session)
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
        session.encode(state.atlas(), outcome_of(run.job.events))
    polling = pace(session)
    session.polled = None
    st.fragment(_results, run_every=polling)(polling)


def _missing() -> None:
    """What cannot work on this machine yet, and the command that makes it work."""
    if lacking := models.missing_weights("coarse"):
        ui.empty("The weights are not here", f"Searching needs {' and '.join(lacking)}.", models.WEIGHTS)
    elif models.mllm() == models.DEMO and (lacking := models.missing_weights("fine")):
        ui.empty("The coarse stage answers alone", f"Reading the pool needs {' and '.join(lacking)}.", models.WEIGHTS)


def _welcome(session: RetrievalSession) -> None:
    """Before the first search: pictures to begin with, and who will answer."""
    entry = corpora.entry(session.draft.corpus)
    if entry is None or entry.corpus is None:
        ui.empty("This corpus cannot be opened", entry.problem if entry is not None else "It is not in the list.")
        return
    pictures.first_pictures(session, entry)
    title = ui.plain(models.mllm_title())
    note = models.DEMO_NOTE if models.mllm() == models.DEMO else "Named with `atomscope serve --mllm`."
    st.caption(
        f"Read by **{title}**: {note} A search goes on for a minute when you open another page, then it is stopped."
    )


# The results: drawn alone, again and again, while the worker is at it.


def _results(polling: float | None) -> None:
    session = current()
    run = session.run
    if run is None:
        return
    step = st.query_params.get("step", session.step)
    session.step = step if step in STEPS else FIRST_STEP
    first = session.polled is None
    wanted = slowed(session, polling, pace(session))  # before the events are read: nothing that comes later is missed
    outcome = outcome_of(run.job.events)
    status(session, run, outcome)
    if outcome.pool is not None:
        _step(session, run, outcome)
    # A rerun inside the first run would take the place of widgets the browser has not seen yet, and their values with them.
    if not first and polling != (wanted if wanted is not None else pace(session)):
        st.rerun()  # the whole page, once: polling begins, ends or changes its pace there


def _step(session: RetrievalSession, run: SearchRun, outcome: Outcome) -> None:
    entry, request = run.entry, run.request
    if entry is None or entry.corpus is None:
        return
    picture = pictures.source(session, entry, request)
    context = StepContext(entry.content, entry.corpus.items, request, run.answer, picture, session.picked)
    ui.live(funnel(context, outcome), key="retrieval_funnel")
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small", key="retrieval_stepper"):
        st.button("", key="retrieval_previous", icon=":material/arrow_back:", shortcut="Left", on_click=_go, args=(-1,))
        st.button("", key="retrieval_next", icon=":material/arrow_forward:", shortcut="Right", on_click=_go, args=(1,))
        ui.live(stepper(session.step, outcome), key="retrieval_steps", on_event=_on_event)
    if session.step == "concepts":
        _concepts(session, context, outcome)
    elif session.step == "export":
        _export(context, outcome)
    else:
        ui.live(BODIES[session.step](context, outcome), key="retrieval_body", on_event=_on_event)
    if session.step == "enhance" and request.enhance == "off" and outcome.scored:
        st.button("Search again with enhancement", key="retrieval_enhance_now", on_click=_enhance_now)
    note = models.DEMO_NOTE if models.mllm() == models.DEMO else ""
    ui.live(models_line(outcome, models.mllm_title(), note), key="retrieval_models")


def _concepts(session: RetrievalSession, context: StepContext, outcome: Outcome) -> None:
    atlas = state.atlas()
    job = session.encode(atlas, outcome)
    if job is None:
        st.caption("Concepts are compared when the search is over.")
        return
    encoded = job.events
    if job.active:
        doing = stage(job) if job.stage else f"Looking at picture {len(encoded) + 1}"
        st.markdown(f":material/visibility: {doing}")
        return
    if job.state == "failed":
        failed("Concepts cannot be shown", job)
    if encoded:
        ui.live(concepts(atlas, context, outcome, encoded), key="retrieval_body", on_event=_on_event)


def _export(context: StepContext, outcome: Outcome) -> None:
    captions = {row.entry.item: context.caption(row.entry.item) for row in outcome.rows}
    document = as_json(outcome, context.request, captions, context.answer)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="retrieval_export"):
        for label, data, name, kind in (
            ("Candidates as CSV", as_csv(outcome, captions), "retrieval.csv", "text/csv"),
            ("Everything as JSON", document, "retrieval.json", "application/json"),
        ):
            st.download_button(
                label, data, name, kind, icon=":material/download:", on_click="ignore", key=f"retrieval_{name}"
            )
        st.caption(
            "The address of this page repeats the search"
            + (", except for the uploaded picture, which stays on your machine." if context.request.upload else ".")
        )
    ui.live(results_table(context, outcome), key="retrieval_body")


# What a person does.


def _go(by: int) -> None:
    session, names = current(), list(STEPS)
    _open_step(session, names[min(max(names.index(session.step) + by, 0), len(names) - 1)])


def _open_step(session: RetrievalSession, step: str) -> None:
    session.step = step
    show_address(session)


def _on_event(event: ui.MarkupEvent) -> None:
    session = current()
    if event.on == "step" and event.value in STEPS:
        _open_step(session, event.value)
    elif event.on == "pick" and (picked := parse.whole(event.value)) is not None:
        session.picked = picked
        show_address(session)


def _enhance_now() -> None:
    session = current()
    if session.run is None:
        return
    request = replace(session.run.request, enhance="paper")
    session.fill(request)
    start(session, request)
    _open_step(session, "enhance")
