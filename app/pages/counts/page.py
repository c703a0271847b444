"""Activation counts: how many atoms each patch needs, and how often each atom fires. Two counts, never mixed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from app import atlas_ui, parse, state, ui
from app.atlas_ui import heat
from app.pages.counts import figures, view

if TYPE_CHECKING:
    from engine.atlas import Atlas

HALVES = {"token": "Support size per token", "atom": "Firing count per atom"}
LEDES = {
    "token": "How many atoms are needed to describe each {unit}. A plain {unit} needs few, a busy one many; sparsemax decides.",
    "atom": "On how many tokens each atom fires. Most fire rarely; the few that fire everywhere seldom mean one thing.",
}
GRID = 20
GRID_OF_TEXTS = 8
TABLE = 400


def page() -> None:
    """The page."""
    head = st.container()
    half = st.segmented_control(
        "Count",
        list(HALVES),
        default="token",
        key="counts_half",
        format_func=HALVES.__getitem__,
        label_visibility="collapsed",
        bind="query-params",
        required=True,
    )
    with head:
        atlas = state.atlas()
        atlas_ui.page_title(
            "Activation counts", LEDES["atom" if half == "atom" else "token"].format(unit=atlas_ui.unit(atlas))
        )
        ui.onboarding(
            "counts",
            "Two counts that are easily confused",
            (
                "*Support size per token*: one number for each "
                + (
                    "token, painted over the texts."
                    if atlas.is_text
                    else "patch of each image, painted over the pictures."
                ),
                "*Firing count per atom*: one number for each atom of the dictionary, over the whole corpus.",
            ),
        )
    if half == "atom":
        _atoms()
    else:
        _tokens()


@st.fragment
def _tokens() -> None:
    atlas = state.atlas()
    ui.live(view.support_figures(atlas), key="counts_support_figures")
    how, label, painted = _inputs_toolbar(atlas)
    chosen = figures.pick(atlas, how, label)
    item = _item(atlas, chosen)
    gallery, explorer = st.columns([1, 1.35], gap="medium")
    with gallery:
        if len(chosen):
            many = GRID_OF_TEXTS if atlas.is_text else GRID
            pages = -(-len(chosen) // many)
            page = min(max(int(st.session_state.get("counts_page") or 1), 1), pages)
            shown = chosen[(page - 1) * many : page * many]
            ui.live(view.gallery(atlas, shown, painted, item), key="counts_gallery", on_event=_on_event)
            if pages > 1:
                st.pagination(pages, key="counts_page", bind="query-params")
        else:
            st.caption(f"No input of class {ui.plain(label)} has its codes in this atlas.")
    with explorer:
        if item is not None:
            _explorer(atlas, item, painted)
    ui.live(view.distributions(atlas, label), key="counts_distributions", on_event=_on_event)


def _inputs_toolbar(atlas: Atlas) -> tuple[str, str, bool]:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="counts_toolbar"):
        how = st.segmented_control(
            "Inputs",
            list(figures.PICKS),
            default="most",
            key="counts_pick",
            format_func=figures.PICKS.__getitem__,
            label_visibility="collapsed",
            bind="query-params",
            required=True,
            help=f"By mean support size over the {atlas_ui.units(atlas)}. “With codes”: the inputs whose single activations the "
            "atlas holds.",
            on_change=_first_page,
        )
        known = figures.classes(atlas)
        label = None
        if known:
            label = st.selectbox(
                "Class",
                known,
                index=None,
                key="counts_class",
                placeholder="All classes",
                label_visibility="collapsed",
                bind="query-params",
                width=190,
                on_change=_first_page,
            )
        painted = st.toggle("Paint the support size", True, key="counts_paint", bind="query-params")
        low, high = heat.support_range(atlas)
        ui.live(ui.legend(low, high, f"atoms a {atlas_ui.unit(atlas)}"), key="counts_legend", width="content")
    return (how if how in figures.PICKS else "most"), (label if label in known else ""), bool(painted)


def _first_page() -> None:
    st.session_state["counts_page"] = 1


def _item(atlas: Atlas, chosen: np.ndarray) -> int | None:
    """The input that is open: of the URL, else the first in this order whose codes the atlas holds, else the first."""
    known = chosen[np.isin(chosen, np.asarray(atlas.sampled_items))]
    default = int(known[0]) if len(known) else int(chosen[0]) if len(chosen) else None
    return state.integer("item", 0, atlas.n_items - 1, default=default, what="input")


def _explorer(atlas: Atlas, item: int, painted: bool) -> None:
    codes = atlas.sampled_row(item) is not None
    busiest = (
        int(atlas.support[item, atlas.prefix :].argmax()) + atlas.prefix if atlas.n_positions > atlas.prefix else 0
    )
    position = state.integer("position", 0, atlas.n_positions - 1, default=busiest, what="position")
    assert position is not None  # there is a default
    atlas_ui.show_notices()
    drop = 0.0
    slot = st.container()
    entrants = atlas.entrants(item, position) if codes else None
    if entrants is not None and len(entrants):
        drop = _tau_slider(entrants)
    with slot:
        ui.live(view.explorer(atlas, item, position, painted, drop), key="counts_explorer", on_event=_on_event)


def _tau_slider(entrants: Any) -> float:
    """How far the person lets tau drop, in score units, at most to the last entrant the atlas holds."""
    most = float(np.nextafter(entrants["gap"].max(), np.inf))
    if st.session_state.get("counts_drop", 0) > most:
        st.session_state["counts_drop"] = most
    return st.slider(
        "Let tau drop by",
        0.0,
        max(most, 1e-6),
        key="counts_drop",
        step=max(most, 1e-6) / 200,
        format="%.4f",
        help=atlas_ui.definition("entrant"),
    )


def _on_event(event: ui.MarkupEvent) -> None:
    atlas = state.atlas()
    if event.on == "item" and (chosen := parse.whole(event.value, atlas.n_items)) is not None:
        state.forget("position")
        state.put(item=chosen, position=None)
    elif event.on == "patch":
        item, position = (parse.whole(part) for part in event.value.partition(":")[::2])
        if item is not None and position is not None:
            state.put(item=item, position=position)
    elif event.on == "class":
        st.session_state["counts_class"] = event.value if event.value in figures.classes(atlas) else None
        _first_page()


@st.fragment
def _atoms() -> None:
    atlas = state.atlas()
    firing = figures.firing(atlas)
    chosen = state.integer("counts_bin", 0, len(firing.atoms) - 1, what="bin")
    statuses = ("dead", "rare", "live", "dense")
    ui.live(view.firing_half(atlas, chosen), key="counts_firing", on_event=_on_bin)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        status = st.pills("Status", statuses, key="counts_status", label_visibility="collapsed", bind="query-params")
        if chosen is not None:
            low, high = int(firing.edges[chosen]), int(firing.edges[chosen + 1]) - 1
            between = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            st.button(f"Firing count {between}", icon=":material/close:", key="counts_clear", on_click=_clear_bin)
    kept = np.ones(atlas.n_atoms, bool) if chosen is None else firing.bin == chosen
    if status in statuses:
        kept &= (atlas.atoms["status"] == status).to_numpy()
    _table(atlas, kept)


def _on_bin(event: ui.MarkupEvent) -> None:
    if event.on == "bin" and (chosen := parse.whole(event.value)) is not None:
        state.put(counts_bin=chosen)
    else:
        _on_event(event)


def _clear_bin() -> None:
    state.put(counts_bin=None)


def _table(atlas: Atlas, kept: np.ndarray) -> None:
    columns = [
        "label",
        "top_label",
        "status",
        "firing_count",
        "frequency",
        "item_count",
        "mean_activation",
        "label_entropy",
    ]
    table = atlas.atoms[kept].sort_values("firing_count", ascending=False)
    shown = table[columns].head(TABLE).reset_index()
    more = f", the {TABLE} most frequent shown" if len(table) > TABLE else ""
    st.caption(f"{len(table):,} atoms{more}. Select a row to open the atom.")
    helps = {name: atlas_ui.definition(name, atlas) for name in ["atom", *columns]}
    config = st.column_config
    event = st.dataframe(
        shown,
        hide_index=True,
        key="counts_table",
        on_select="rerun",
        selection_mode="single-row",
        height=420,
        alt="Atoms with their firing counts",
        column_config={
            "atom": config.NumberColumn("atom", help=helps["atom"], format="%d", width="small"),
            "label": config.TextColumn("label", help=helps["label"]),
            "top_label": config.TextColumn("top label", help=helps["top_label"]),
            "status": config.TextColumn("status", help=helps["status"], width="small"),
            "firing_count": config.NumberColumn(
                "firing count", help=atlas_ui.definition("firing count"), format="localized"
            ),
            "frequency": config.NumberColumn("frequency", help=helps["frequency"], format="percent"),
            "item_count": config.NumberColumn("items", help=helps["item_count"], format="localized"),
            "mean_activation": config.NumberColumn("mean activation", help=helps["mean_activation"], format="%.3g"),
            "label_entropy": config.NumberColumn("label entropy", help=helps["label_entropy"], format="%.2f"),
        },
    )
    rows = event.selection.rows
    if rows:
        ui.open_page(state.href("concepts", atom=int(shown["atom"].iloc[rows[0]])), key="counts_open")
