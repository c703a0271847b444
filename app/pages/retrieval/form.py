"""What the controls of the Retrieval page say, as a request, and how they are set to one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from app.pages.retrieval.request import Request
from app.pages.retrieval.session import Session
from engine.retrieval.search.query import ALPHA, THRESHOLD

MARGINS = {"skip": 0.05, "stop": 2.0}
"""Where the early stops begin when they are switched on: a cosine, and log-odds."""


def fill(session: Session, request: Request) -> None:
    """Set every control to what a request says.

    The controls get new names, and with them new beginnings: a value that is written into the session's state does not
    reach a widget the browser has not mounted yet, such as those of a closed popover.
    """
    session.draft = session.filled = request
    session.fills += 1


def key_of(session: Session, name: str) -> str:
    """Name of a control as it is now, see :func:`fill`."""
    return f"retrieval_{name}_{session.fills}"


def preset_shares(preset: str) -> dict[str, float]:
    """What a preset of visual enhancement says of the numbers it leaves open; {} for "off"."""
    return {"alpha": ALPHA[preset], "threshold": THRESHOLD} if preset in ALPHA else {}


def collect(session: Session) -> Request:
    """What the controls say; the picture is not a control and comes from the draft."""
    draft = session.draft

    def said(name: str, default: Any) -> Any:
        value = st.session_state.get(key_of(session, name))
        return default if value is None else value

    margins: dict[str, Any] = {}
    for name, begin in MARGINS.items():
        before = getattr(draft, name)
        on = said(f"{name}_on", before is not None)
        margins[name] = float(said(name, before or begin)) if on else None
    enhance = said("enhance", draft.enhance)
    shares: dict[str, Any] = {"alpha": None, "threshold": None}
    for name, own in preset_shares(enhance).items():
        share = said(f"{name}_{enhance}", getattr(draft, name))
        shares[name] = None if share == own else share
    session.draft = replace(
        draft,
        text=str(said("text", draft.text)),
        corpus=said("corpus", draft.corpus),
        split=said("split", draft.split),
        k=int(said("k", draft.k)),
        mode=said("mode", draft.mode),
        enhance=enhance,
        tokens=said("tokens", draft.tokens),
        gate=said("gate", draft.gate),
        view=said("view", draft.view),
        tie="on" if said("tie", draft.tie == "on") else "off",
        **margins,
        **shares,
    )
    return session.draft
