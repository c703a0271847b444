"""Beside the map: the atom in the ring, or, while there is none, the clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app import atlas_ui, parse, state, ui
from app.pages.map import map_state
from app.pages.map.map_state import MapState
from app.ui.html import tag

if TYPE_CHECKING:
    from engine.atlas import Atlas

NEIGHBOURS = 6
CLUSTERS = 14


def panel(atlas: Atlas, now: MapState) -> None:
    """Draw the panel."""
    if now.view.focus is None:
        _clusters(atlas)
    else:
        _atom(atlas, now.view.focus)


def _atom(atlas: Atlas, atom: int) -> None:
    row = atlas.atoms.iloc[atom]
    name = row["label"] or row["top_label"] or "no label"
    chips = [
        ui.chip(row["status"], "good" if row["status"] == "live" else "warn", atlas_ui.definition(row["status"], atlas))
    ]
    if row["cluster"] >= 0:
        chips.append(ui.chip(atlas.clusters["label"].get(row["cluster"], ""), definition="Cluster of the map."))
    numbers = [
        ui.Figure(words, text, atlas_ui.definition(column, atlas))
        for words, column, text in (
            ("frequency", "frequency", ui.percent(float(row["frequency"]))),
            ("mean activation", "mean_activation", ui.number(float(row["mean_activation"]))),
            ("label entropy", "label_entropy", f"{ui.number(float(row['label_entropy']), 2)} bits"),
            ("monosemanticity", "monosemanticity", ui.number(float(row["monosemanticity"]), 2)),
        )
    ]
    exemplars = atlas.exemplars(atom, "top").head(6)
    near = atlas.neighbours(atom, "decoder").head(NEIGHBOURS)
    cards = [
        atlas_ui.atom_card(atlas, int(other), f"cosine {similarity:.2f}", pictures=2, tip="Move the ring to this atom")
        for other, similarity in zip(near["other"], near["similarity"], strict=True)
    ]
    head = tag("h2", name, tag("span", f"atom {atom}", cls="as-hint"), cls="as-section")
    body = tag(
        "div",
        tag("div", head, chips, cls="as-block"),
        tag("div", ui.figures(numbers, small=True), cls="as-block"),
        tag("div", atlas_ui.exemplar_grid(atlas, atom, exemplars, size="s"), cls="as-block")
        if len(exemplars)
        else None,
        ui.section("Nearest atoms", "by decoder direction", atlas_ui.atom_cards(cards), level=3) if cards else None,
    )

    def happened(event: ui.MarkupEvent) -> None:
        if event.on == "atom" and (atom := parse.whole(event.value)) is not None:
            state.put(atom=atom)

    _buttons(atom, near["other"].to_numpy())
    ui.live(body, key="map_panel", on_event=happened)


def _buttons(atom: int, near: np.ndarray) -> None:
    with st.container(horizontal=True, gap="small"):
        if st.button(
            "Open", key="map_open", icon=":material/category:", type="primary", help="Open this atom in Concepts"
        ):
            ui.open_page(state.href("concepts", atom=atom), key="map_go")
        st.button(
            "Neighbours",
            key="map_near",
            icon=":material/hub:",
            disabled=not len(near),
            help="Select this atom and its nearest atoms by decoder direction",
            on_click=lambda: map_state.select(np.append(near, atom)),
        )
        st.button(
            "",
            key="map_close",
            icon=":material/close:",
            type="tertiary",
            help="Take the ring off (the atom stays where it is)",
            on_click=lambda: state.put(atom=None),
        )


def _clusters(atlas: Atlas) -> None:
    table = atlas.clusters.sort_values("size", ascending=False).head(CLUSTERS)
    if table.empty:
        ui.live(ui.section("No atom chosen", "click a point"), key="map_panel_empty")
        return
    rows = [
        ui.Bar(row.label or f"cluster {cluster}", float(row.size), f"{int(row.size):,}", str(cluster))
        for cluster, row in zip(table.index, table.itertuples(index=False), strict=True)
    ]

    def happened(event: ui.MarkupEvent) -> None:
        if event.on == "cluster" and (cluster := parse.whole(event.value)) is not None:
            map_state.select(np.flatnonzero(atlas.atoms["cluster"].to_numpy() == cluster))

    body = tag(
        "div",
        ui.section("Clusters", "click one to select its atoms"),
        ui.bars(rows, alt="Atoms in each of the largest clusters", on="cluster"),
        tag(
            "p",
            f"{len(atlas.clusters):,} clusters in all; named from captions and keywords of their exemplars.",
            cls="as-caption",
        ),
    )
    ui.live(body, key="map_clusters", on_event=happened)
