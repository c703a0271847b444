"""Dictionary map: all atoms at once, similar ones together; select some to see what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app import atlas_ui, state, ui
from app.components.atom_map import atom_map, map_event
from app.pages.map import map_state
from app.pages.map.controls import controls
from app.pages.map.panel import panel
from app.pages.map.selected import selected

if TYPE_CHECKING:
    from engine.atlas import Atlas

HEIGHT = 620


def page() -> None:
    """Draw the page."""
    atlas = state.atlas()
    now = map_state.read(atlas)
    with st.container():  # notices come and go inside it: the map below must keep its place, or it is mounted again
        atlas_ui.page_title(
            "Dictionary map",
            "Every atom of the dictionary as a point; atoms whose decoder directions are alike lie together.",
        )
    if not np.isfinite(atlas.atoms["x"].to_numpy(float)).any():
        ui.empty(
            "This atlas has no map yet",
            "It was built without a layout. Build it again with the run and the store it was made from:",
            f"atomscope atlas --sae RUN --acts STORE --layout -o {atlas.path}",
        )
        return
    with st.container():
        _how_to_read(atlas)
    controls(atlas, now)
    left, right = st.columns([2.45, 1], gap="medium")
    with left:
        atom_map(atlas, now.view, key=map_state.KEY, height=HEIGHT, alt=_alt(atlas, now.view.color), on_event=_happened)
    with right, st.container(height=HEIGHT, border=False):
        panel(atlas, now)
    selected(atlas, now)


def _happened() -> None:
    event = map_event(map_state.KEY)
    if event.clicked is not None:
        state.put(atom=event.clicked)
    if event.selected is not None:
        map_state.select(np.asarray(event.selected, dtype=np.int64))


def _how_to_read(atlas: Atlas) -> None:
    method = (atlas.meta.get("layout") or {}).get("method", "pca")
    kind = "UMAP: near means alike, far means little" if method == "umap" else "The two main directions (PCA)"
    ui.onboarding(
        "map",
        "How to read the map",
        (
            f"{kind}. Axes have no unit. Dead atoms have no place.",
            "Point at an atom for its examples, click to keep it in the ring, lasso some to see what they share.",
            "With the map in focus: arrows pan, + and − zoom, 0 shows all, Enter picks the atom in the middle, Esc clears.",
        ),
    )


def _alt(atlas: Atlas, color: str) -> str:
    placed = int(np.isfinite(atlas.atoms["x"].to_numpy(float)).sum())
    names = ", ".join(name for name in atlas.clusters.sort_values("size", ascending=False)["label"].head(5) if name)
    return f"Map of {placed:,} atoms coloured by {color.replace('_', ' ')}. Largest clusters: {names or 'none'}."
