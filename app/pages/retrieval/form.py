"""The query's words and the Search button; what the controls of the page say, and the search that is made from it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.opened import corpora
from app.pages.retrieval import worker
from app.pages.retrieval.request import FIRST_STEP, Request
from app.pages.retrieval.session import RetrievalSession, SearchRun, current
from app.work import Job
from engine.errors import AtomscopeError
from engine.retrieval.search.query import ALPHA, THRESHOLD, check_words

if TYPE_CHECKING:
    from engine.retrieval.search.events import Event

MARGINS = {"skip": 0.05, "stop": 2.0}
"""Where the early stops begin when they are switched on: a cosine, and log-odds."""


def form(session: RetrievalSession) -> None:
    """Draw the words and the button."""
    with (
        st.form("retrieval_form", border=False),
        st.container(horizontal=True, vertical_alignment="bottom", gap="small"),
    ):
        st.text_input(
            "Query",
            session.filled.text,
            key=session.key("text"),
            placeholder="Describe what you look for",
            label_visibility="collapsed",
            width="stretch",
        )
        st.form_submit_button(
            "Search", type="primary", icon=":material/search:", key="retrieval_search", on_click=_submit
        )


def _submit() -> None:
    session = current()
    start(session, collect(session))


def start(session: RetrievalSession, request: Request) -> None:
    """Search for what a person asked with the controls, and show the first step."""
    session.draft = request
    if search(session, request):
        session.step, session.unwritten = FIRST_STEP, True


def search(session: RetrievalSession, request: Request) -> bool:
    """Stop the search before and hand in this one; False, with a sentence in ``session.fault``, if it cannot be made."""
    session.fault = ""
    upload = session.uploads.get(request.upload)
    image = upload.image if upload is not None else None
    entry = corpora.entry(request.corpus)
    try:
        check_words(request.text.strip(), pictured=bool(request.item) or image is not None)
        answer = worker.answer_of(entry, request)
        job: Job[Event] = Job(partial(worker.search, entry=entry, request=request, upload=image, answer=answer))
        if session.run is not None:
            session.run.stop()
        session.queue.put(job)
    except AtomscopeError as error:
        session.fault = str(error)
        return False
    session.picked, session.slowness = None, 1
    session.run = SearchRun(request, entry, answer, job)
    return True


def collect(session: RetrievalSession) -> Request:
    """What the controls say; the picture is not a control and comes from the draft."""
    draft = session.draft
    margins: dict[str, Any] = {}
    for name, begin in MARGINS.items():
        before = getattr(draft, name)
        on = session.said(f"{name}_on", before is not None)
        margins[name] = float(session.said(name, before or begin)) if on else None
    enhance = session.said("enhance", draft.enhance)
    shares: dict[str, Any] = {"alpha": None, "threshold": None}
    for name, own in preset_shares(enhance).items():
        share = session.said(f"{name}_{enhance}", getattr(draft, name))
        shares[name] = None if share == own else share
    session.draft = replace(
        draft,
        text=str(session.said("text", draft.text)),
        corpus=session.said("corpus", draft.corpus),
        split=session.said("split", draft.split),
        k=int(session.said("k", draft.k)),
        mode=session.said("mode", draft.mode),
        enhance=enhance,
        tokens=session.said("tokens", draft.tokens),
        gate=session.said("gate", draft.gate),
        view=session.said("view", draft.view),
        tie="on" if session.said("tie", draft.tie == "on") else "off",
        **margins,
        **shares,
    )
    return session.draft


def preset_shares(preset: str) -> dict[str, float]:
    """What a preset of visual enhancement says of the numbers it leaves open; {} for "off"."""
    return {"alpha": ALPHA[preset], "threshold": THRESHOLD} if preset in ALPHA else {}
