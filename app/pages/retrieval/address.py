"""The address of the Retrieval page: followed when it says something new, written when a person searches or steps."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import state
from app.opened import corpora
from app.pages.retrieval.form import search
from app.pages.retrieval.request import FIRST_STEP, STEPS, Request, parameters, read, write
from app.pages.retrieval.session import RetrievalSession

_OURS = (*write(Request()), "step", "candidate")


def follow_address(session: RetrievalSession) -> None:
    """Show the search that the address asks for, unless it is shown already; write it where the session has moved on."""
    if session.unwritten:
        show_address(session)
        return
    given = {name: st.query_params[name] for name in _OURS if name in st.query_params}
    step, candidate = given.pop("step", None), given.pop("candidate", "")
    if step is not None and step not in STEPS:
        state.notice(f"There is no step {step[:40]!r}. Showing {STEPS[session.step]!r}.")
        del st.query_params["step"]
    elif step is not None:
        session.step = step
    if given == session.address or (not given and (session.run is not None or session.address is None)):
        session.address = session.address or given
        _choose(session, candidate)
        return
    session.address = given
    request, notices = read(given, corpora.paths(), session.uploads)
    entry = corpora.entry(request.corpus)
    if entry is not None and entry.corpus is not None:
        if request.item and entry.row_of(request.item) is None:
            notices.append(f"{entry.corpus.name} has no item {request.item[:60]!r}; the picture is left out.")
            request = replace(request, item="")
        if request.split not in ("", "all", *entry.corpus.splits):
            notices.append(f"{entry.corpus.name} has no split {request.split[:40]!r}; its default is searched.")
            request = replace(request, split="")
    for sentence in notices:
        state.notice(sentence)
    session.fill(request)
    if request.asks:
        search(session, request)
    _choose(session, candidate)


def _choose(session: RetrievalSession, candidate: str) -> None:
    """Make the corpus item with this id the candidate that a step looks at; "" leaves the first of the order."""
    entry = session.run.entry if session.run is not None else None
    session.picked = entry.row_of(candidate) if entry is not None and candidate else None
    if candidate and entry is not None and session.picked is None:
        state.notice(f"There is no candidate {candidate[:60]!r}. Showing the first.")
        del st.query_params["candidate"]


def show_address(session: RetrievalSession) -> None:
    """Write search and step into the address, as one entry of the browser's history."""
    run = session.run
    request = run.request if run is not None else session.draft
    entry, chosen = run.entry if run is not None else None, None
    if session.picked is not None and entry is not None and entry.corpus is not None:
        chosen = str(entry.corpus.items["id"].iat[session.picked])
    session.address, session.unwritten = parameters(request), False
    state.rewrite(write(request) | {"step": session.step if session.step != FIRST_STEP else None, "candidate": chosen})
