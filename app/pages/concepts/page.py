"""Concepts: one atom at a time. What makes it fire most, what makes it fire weakly, how often, and what is near it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import streamlit as st

from app import atlas_ui, parse, state, ui
from app.pages.concepts import view
from engine.atlas import ordering, search

if TYPE_CHECKING:
    from engine.atlas import Atlas

STATUSES = ("live", "rare", "dense", "dead")
COUNTS = (8, 16, 24)
HEATS = {"atom": "Per atom", "picture": "Per example", "off": "Off"}


def page() -> None:
    """The page."""
    text = state.atlas().is_text
    atlas_ui.page_title(
        "Concepts",
        "One atom at a time. The left arrow and the right arrow step through the dictionary; point at "
        + ("a marked token for its activation, " if text else "a picture to see it without the heat map, ")
        + "at an underlined word for its definition.",
    )
    ui.onboarding(
        "concepts",
        "How to read a concept",
        (
            "Each line is a text on which the atom fires; the colour marks the tokens where, the frame the token where most."
            if text
            else "Each picture is one on which the atom fires; the glow marks the patches where, the white frame the patch "
            "where most.",
            "Do not trust the best examples alone: the weaker firings beside them show whether the concept holds. "
            "Warnings name atoms whose examples are nearly the same, or that fire almost everywhere.",
        ),
    )
    _concept()


@st.fragment
def _concept() -> None:
    atlas = state.atlas()
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="concepts_toolbar"):
        options = _toolbar(atlas)
        sequence = _sequence(atlas)
        first = int(sequence.atoms[0]) if len(sequence.atoms) else 0
        atom = state.integer("atom", 0, atlas.n_atoms - 1, default=first, what="atom")
        assert atom is not None  # there is a default
        place = int(sequence.place[atom])
        where = f"{place + 1:,} of {len(sequence.atoms):,}" if place >= 0 else "outside the filter"
        st.caption(where, width="content")
    atlas_ui.show_notices()
    _results(atlas)
    nearby = [ordering.step(sequence, atom, by) for by in (1, -1)]
    ui.live(
        view.body(atlas, atom, options),
        key="concepts_body",
        on_event=_on_event,
        prefetch=view.prefetch(atlas, nearby, options),
    )


def _sequence(atlas: Atlas) -> ordering.AtomOrder:
    """The atoms that Previous and Next visit, in the order and of the statuses the toolbar says."""
    by = st.session_state.get("concepts_sort")
    shown = st.session_state.get("concepts_show") or STATUSES[:3]
    return ordering.order(atlas, by if by in ordering.ORDERS else "id", tuple(s for s in STATUSES if s in shown))


def _toolbar(atlas: Atlas) -> view.ViewOptions:
    st.button(
        "Previous", key="concepts_previous", icon=":material/arrow_back:", shortcut="Left", on_click=_step, args=(-1,)
    )
    st.button("Next", key="concepts_next", icon=":material/arrow_forward:", shortcut="Right", on_click=_step, args=(1,))
    st.button(
        "Random",
        key="concepts_random",
        icon=":material/casino:",
        help="A random live atom",
        on_click=_random,
        shortcut="X",
    )
    st.text_input(
        "Search",
        key="concepts_q",
        type="search",
        placeholder="Atom id, label, or words in captions",
        label_visibility="collapsed",
        bind="query-params",
        on_change=_jump,
        args=(atlas,),
        width=225,
    )
    st.selectbox(
        "Order",
        list(ordering.ORDERS),
        key="concepts_sort",
        format_func=lambda key: ordering.ORDERS[key].words,
        label_visibility="collapsed",
        bind="query-params",
        width=180,
    )
    with st.popover("View", icon=":material/tune:"):
        return _view_options()


def _view_options() -> view.ViewOptions:
    top = st.segmented_control(
        "Examples", COUNTS, default=16, key="concepts_n", bind="query-params", required=True, help="Top exemplars shown"
    )
    heat = st.segmented_control(
        "Activation",
        list(HEATS),
        default="atom",
        key="concepts_heat",
        format_func=HEATS.__getitem__,
        bind="query-params",
        required=True,
        help="What full colour means: the atom's largest activation anywhere (examples compare), or the largest in "
        "each example (weak firings become visible).",
    )
    outline = st.toggle("Frame the strongest place", True, key="concepts_peak", bind="query-params")
    st.pills(
        "Step through",
        STATUSES,
        default=list(STATUSES[:3]),
        selection_mode="multi",
        key="concepts_show",
        bind="query-params",
        help="Which atoms Previous and Next visit.",
    )
    return view.ViewOptions(top or 16, heat if heat in HEATS else "atom", outline)


def _results(atlas: Atlas) -> None:
    words = str(st.session_state.get("concepts_q") or "").strip()[:200]
    if not words:
        return
    found = search.find_atoms(atlas, words)
    ui.live(view.results(atlas, words, found), key="concepts_results", on_event=_on_event)


def _step(by: int) -> None:
    atlas = state.atlas()
    sequence = _sequence(atlas)
    first = int(sequence.atoms[0]) if len(sequence.atoms) else 0
    atom = state.integer("atom", 0, atlas.n_atoms - 1, default=first)
    state.put(atom=ordering.step(sequence, atom or 0, by))


def _random() -> None:
    live = ordering.order(state.atlas(), "id", ("live",)).atoms
    if len(live):
        state.put(atom=int(random.choice(live)))
    else:
        state.notice("This atlas has no live atom.")


def _jump(atlas: Atlas) -> None:
    """A number in the search box opens that atom; anything else stays a search."""
    words = str(st.session_state["concepts_q"] or "").strip().removeprefix("#")
    if words.isascii() and words.isdigit():
        if (atom := parse.whole(words, atlas.n_atoms)) is not None:
            state.put(atom=atom)
        else:
            state.notice(f"There is no atom {words[:20]} here (they run from 0 to {atlas.n_atoms - 1:,}).")
        st.session_state["concepts_q"] = ""


def _on_event(event: ui.MarkupEvent) -> None:
    atlas = state.atlas()
    if event.on == "atom" and (atom := parse.whole(event.value, atlas.n_atoms)) is not None:
        state.put(atom=atom)
    elif event.on == "search":
        st.session_state["concepts_q"] = event.value
