"""What the dashboard says when something is missing or odd: one sentence with the cause, and the command that helps."""

from __future__ import annotations

import re
from collections.abc import Iterable

import streamlit as st

from app import library, state
from app.ui.html import Html, tag
from engine.paths import DEMO_ATLAS


def plain(text: str) -> str:
    """Text that Markdown shows as it is: names of files and captions are data, not formatting."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>$~:&])", r"\\\1", text)


def show_notices() -> None:
    """Show the sentences that wait (a bad id in the URL and the like), once."""
    for sentence in state.take_notices():
        st.info(plain(sentence), icon=":material/info:")


def empty(title: str, sentence: str, command: str = "") -> None:
    """An empty state: what is missing, why, and the exact command that makes it."""
    with st.container(border=True):
        st.markdown(f"**{plain(title)}**")
        st.markdown(plain(sentence))
        if command:
            st.code(command, language="bash")


def no_atlas(entries: Iterable[library.Entry]) -> None:
    """The whole page when no atlas could be opened."""
    st.html(str(tag("header", tag("h1", "No atlas to show yet"), cls="as-title")))
    for entry in entries:
        if entry.path == DEMO_ATLAS:
            empty("The demo atlas is not here", entry.problem, "atomscope demo build atlas")
        else:
            empty(entry.path.name, entry.problem, f"atomscope validate {entry.path}")
    st.markdown("To make one from your own images:")
    st.code(
        "atomscope extract --model clip-vit-b16 --images DIR -o STORE\n"
        "atomscope train --acts STORE --sae sparsemax --atoms 8192 -o RUN\n"
        "atomscope atlas --sae RUN --acts STORE -o ATLAS\n"
        "atomscope serve --atlas ATLAS",
        language="bash",
    )


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
