"""The row above the map: colour, palette, which atoms, search. Widgets mirror the URL and write back to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app import atlas_ui, state, ui
from app.components.atom_map.filters import STATUSES, AtomFilter, numeric_columns
from app.components.atom_map.scales import CATEGORICAL, short_number
from app.pages.map import map_state
from app.pages.map.map_state import MapState, color_columns
from app.ui.colours import SEQUENTIAL

if TYPE_CHECKING:
    from engine.atlas import Atlas


def controls(atlas: Atlas, now: MapState) -> None:
    """Draw the row."""
    color, palette, shown, rest, find = st.columns([3, 2.2, 3.4, 1.6, 3], vertical_alignment="bottom", gap="small")
    with color:
        _color(atlas, now)
    with palette:
        _palette(now)
    with shown:
        _statuses(atlas, now)
    with rest:
        _range(atlas, now)
    with find:
        _find(now)


def _color(atlas: Atlas, now: MapState) -> None:
    st.session_state["map_color"] = now.view.color
    st.selectbox(
        "Colour by",
        color_columns(atlas),
        key="map_color",
        format_func=lambda name: CATEGORICAL.get(name, name.replace("_", " ")),
        on_change=lambda: state.put(color=st.session_state["map_color"]),
        help=atlas_ui.definition(now.view.color, atlas) or "Whose values the colours show.",
    )


def _palette(now: MapState) -> None:
    st.session_state["map_palette"] = now.view.palette
    st.segmented_control(
        "Palette",
        list(SEQUENTIAL),
        key="map_palette",
        required=True,
        disabled=now.view.color in CATEGORICAL,
        on_change=lambda: state.put(palette=st.session_state["map_palette"]),
        help="Both run evenly from dark to light; cividis looks the same to every colour vision.",
    )


def _statuses(atlas: Atlas, now: MapState) -> None:
    counts = atlas.atoms["status"].value_counts()
    # Dead atoms have no place on the map, so there is nothing to switch.
    kinds = [status for status in STATUSES if status != "dead" and counts.get(status, 0)]
    st.session_state["map_statuses"] = [kind for kind in kinds if kind not in now.view.filter.hide]

    def changed() -> None:
        hide = frozenset(kinds) - set(st.session_state["map_statuses"])
        shown = now.view.filter
        map_state.set_filter(AtomFilter(hide, shown.column, shown.low, shown.high))

    st.pills(
        "Show",
        kinds,
        selection_mode="multi",
        key="map_statuses",
        format_func=lambda kind: f"{kind} {ui.compact(int(counts[kind]))}",
        on_change=changed,
        help="  \n".join(f"**{kind}**: {atlas_ui.definition(kind)}" for kind in kinds),
    )


def _range(atlas: Atlas, now: MapState) -> None:
    shown = now.view.filter
    with st.popover(
        "Range" if not shown.column else f"Range: {shown.column.replace('_', ' ')}", icon=":material/tune:"
    ):
        names = ["", *numeric_columns(atlas.atoms)]
        st.session_state["map_range_column"] = shown.column

        def chose() -> None:
            map_state.set_filter(AtomFilter(shown.hide, st.session_state["map_range_column"]))

        st.selectbox(
            "Keep atoms by",
            names,
            key="map_range_column",
            format_func=lambda name: name.replace("_", " ") or "nothing",
            on_change=chose,
        )
        if shown.column:
            _limits(atlas, shown)


def _limits(atlas: Atlas, shown: AtomFilter) -> None:
    values = atlas.atoms[shown.column].to_numpy(float)
    values = values[np.isfinite(values)]
    if not values.size:
        st.caption("No atom has a value in this column.")
        return
    # Stops at percentiles: a column over five orders of magnitude would put all atoms under one pixel of a linear slider.
    quantiles = [float(v) for v in np.quantile(values, np.linspace(0, 1, 101))]
    low = quantiles[0] if math.isinf(shown.low) else shown.low
    high = quantiles[-1] if math.isinf(shown.high) else shown.high
    # Streamlit tells stops apart by their text, so each text comes once; the limits of the link are kept exactly.
    stops = sorted({_text(stop): stop for stop in (*quantiles, low, high)}.values())
    if len(stops) < 2:
        st.caption(f"Every atom has the value {short_number(stops[0])}.")
        return
    # Two handles only come from a default of two values, which a later link could not change: the link is in the key.
    key = f"map_range_limits_{shown.to_query()['range']}"

    def changed() -> None:
        first, last = st.session_state[key]
        lowest, highest = first <= stops[0], last >= stops[-1]  # no limit at all
        map_state.set_filter(
            AtomFilter(shown.hide, shown.column, -math.inf if lowest else first, math.inf if highest else last)
        )

    st.select_slider(
        f"{shown.column.replace('_', ' ')} from, to",
        stops,
        (low, high),
        key=key,
        format_func=_text,
        on_change=changed,
        help="Stops lie at percentiles of the column.",
    )


def _text(value: float) -> str:
    return f"{value:.4g}"


def _find(now: MapState) -> None:
    st.session_state["map_find"] = now.view.query
    st.text_input(
        "Find",
        key="map_find",
        type="search",
        icon=":material/search:",
        placeholder="label, class or atom number",
        on_change=lambda: state.put(find=st.session_state["map_find"].strip() or None),
        help="Marks the atoms whose label, candidates or heaviest class contain every word.",
    )
