"""What the dashboard says when something is missing or odd: one sentence with the cause, and the command that helps."""

from __future__ import annotations

import re
from collections.abc import Iterable

import streamlit as st

from app.ui.html import Html, tag


def plain(text: str) -> str:
    """Text that Markdown shows as it is: names of files and captions are data, not formatting."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>$~:&])", r"\\\1", text)


def empty(title: str, sentence: str, command: str = "") -> None:
    """An empty state: what is missing, why, and the exact command that makes it."""
    with st.container(border=True):
        st.markdown(f"**{plain(title)}**")
        st.markdown(plain(sentence))
        if command:
            st.code(command, language="bash")


def warn(text: str, definition: str = "") -> Html:
    """One line of caution beside a figure; it states the reason, not only the alarm."""
    tip = definition or None
    return tag("p", tag("span", "!", cls="as-bang", aria_hidden="true"), text, cls="as-warn", data_tip=tip)


def onboarding(key: str, title: str, lines: Iterable[str]) -> None:
    """One panel that says how to read the page, until the person closes it (for this session)."""
    name = f"{key}_read"
    if st.session_state.get(name):
        return
    with st.container(border=True, key=f"{key}_onboarding"):
        words, button = st.columns([12, 1], vertical_alignment="top", gap="small")
        words.caption(f"**{title}**  \n" + "  \n".join(lines))
        close = lambda: st.session_state.update({name: True})  # noqa: E731
        button.button("Got it", key=f"{key}_got_it", type="tertiary", on_click=close)
