"""The map page's part of the URL: colour, filter, search, selection, atom. Damaged values fall back with a notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import state
from app.components.atom_map import MapView
from app.components.atom_map.filters import AtomFilter, numeric_columns
from app.components.atom_map.ids import decode_ids, encode_ids
from app.components.atom_map.scales import CATEGORICAL
from app.ui.colours import SEQUENTIAL
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.atlas import Atlas

KEY = "map_atoms"
"""Key of the map component."""

MARKED = "map_marked"
"""Session entry: rows chosen in the table, with the selection they belong to."""


@dataclass(frozen=True)
class MapState:
    """What the URL asks for: the view and, decoded, its selection."""

    view: MapView
    atoms: NDArray[np.int64]
    """Selected atoms, ascending."""

    def describe(self) -> dict[str, Any]:
        """The view for a provenance file."""
        view = self.view
        return {"color": view.color, "palette": view.palette, "filter": view.filter.to_query(), "query": view.query}


def color_columns(atlas: Atlas) -> list[str]:
    """What the map can be coloured by: every numeric column, then categories."""
    return [*numeric_columns(atlas.atoms), *CATEGORICAL]


def read(atlas: Atlas) -> MapState:
    """The state of the map page, from the URL."""
    color = state.choice("color", color_columns(atlas), _default_color(atlas), "colour")
    palette = state.choice("palette", SEQUENTIAL, "viridis")
    try:
        shown = AtomFilter.from_query(st.query_params, atlas.atoms)
    except InputError as error:
        state.notice(f"{error} Showing all atoms.")
        state.put(hide=None, range=None)
        shown = AtomFilter()
    text = st.query_params.get("sel", "")
    try:
        atoms = decode_ids(text, atlas.n_atoms)
    except InputError as error:
        state.notice(f"{error} Nothing is selected.")
        state.put(sel=None)
        text, atoms = "", np.empty(0, dtype=np.int64)
    view = MapView(
        color=color,
        palette=palette,
        filter=shown,
        query=st.query_params.get("find", "")[:200],
        selection=text,
        marked=marked(text),
        focus=state.integer("atom", 0, atlas.n_atoms - 1, what="atom"),
    )
    return MapState(view, atoms)


def _default_color(atlas: Atlas) -> str:
    """Label entropy tells clear atoms from mixed ones; without labels, how often an atom fires."""
    return "label_entropy" if atlas.atoms["label_entropy"].notna().any() else "frequency"


def marked(selection: str) -> str:
    """Atoms chosen in the table of this selection, encoded."""
    of, atoms = st.session_state.get(MARKED, ("", ""))
    return str(atoms) if of == selection else ""


def mark(selection: str, atoms: NDArray[np.int64]) -> None:
    """Remember the atoms chosen in the table."""
    st.session_state[MARKED] = (selection, encode_ids(atoms))


def select(atoms: NDArray[np.int64]) -> None:
    """Put a selection into the URL; too large a one is refused with a notice."""
    try:
        state.put(sel=encode_ids(atoms) or None)
    except InputError as error:
        state.notice(str(error))


def set_filter(shown: AtomFilter) -> None:
    """Put a filter into the URL."""
    query = shown.to_query()
    state.put(hide=query.get("hide"), range=query.get("range"))
