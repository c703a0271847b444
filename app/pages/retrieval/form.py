"""The query's words and the Search button; what the controls of the page say, as a request, and a search made from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from app.pages.retrieval.address import show_address
from app.pages.retrieval.request import FIRST_STEP, Request, parameters
from app.pages.retrieval.session import Session, current
from engine.retrieval.search.query import ALPHA, THRESHOLD

MARGINS = {"skip": 0.05, "stop": 2.0}
"""Where the early stops begin when they are switched on: a cosine, and log-odds."""


def form(session: Session) -> None:
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


def start(session: Session, request: Request) -> None:
    """Search, and write the search into the address."""
    session.draft = request
    if session.search(request):
        session.address = parameters(request)
        session.step = FIRST_STEP
        show_address(session)


def collect(session: Session) -> Request:
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
