"""The map of atoms: a Components-v2 component that draws every atom with plotly.js on WebGL and sends back ids only.

The page says *what* to show (:class:`MapView`, below 1 kB); the browser fetches the numbers once from the routes beside this
file. So a step to the next atom moves a ring and nothing else: no points are sent again, nothing is mounted again, and zoom
stays. ``st.plotly_chart`` would remount all points instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.components.atom_map.filters import AtomFilter
from app.components.atom_map.routes import category_names, static_version
from app.components.atom_map.scales import CATEGORICAL, as_json, axis_scale, categories_of, color_scale
from app.ui.colours import SEQUENTIAL
from app.urls import MAP

if TYPE_CHECKING:
    from engine.atlas import Atlas

__all__ = ["MapEvent", "MapView", "atom_map", "map_event"]

# Only a loader is registered here: Streamlit sends this text with every rerun, while the browser keeps the module it loads.
_COMPONENT = st.components.v2.component(
    "atomscope_atom_map",
    js="""
const absolute = path => new URL(path, window.location.origin).href
export default function (component) {
  const host = component.parentElement
  const loading = import(absolute(component.data.module))
  loading.then(module => module.render(component)).catch(error => { host.textContent = `The map cannot be loaded: ${error}` })
  return () => loading.then(module => module.destroy(host)).catch(() => {})
}
""",
    isolate_styles=False,  # plotly.js puts its style rules into the document, where a shadow root would not see them
)


@dataclass(frozen=True)
class MapView:
    """What the map shows. Sets of atoms are written with :func:`app.components.atom_map.ids.encode_ids`."""

    x: str = "x"
    """Column for the horizontal axis; other columns than ``x`` and ``y`` get axes with numbers."""
    y: str = "y"
    color: str = "frequency"
    """A numeric column, or one of ``scales.CATEGORICAL``."""
    palette: str = "viridis"
    filter: AtomFilter = AtomFilter()
    query: str = ""
    """Atoms whose text matches are marked."""
    selection: str = ""
    """A set of atoms; the others fade."""
    marked: str = ""
    """A set of atoms inside the selection that stand out, for example rows chosen in a table."""
    focus: int | None = None
    """The atom in the ring."""


@dataclass(frozen=True)
class MapEvent:
    """What a person did on the map during the last run."""

    clicked: int | None
    selected: list[int] | None
    """Atoms inside the lasso or box; empty when the selection was cleared."""


def atom_map(
    atlas: Atlas,
    view: MapView,
    *,
    key: str,
    height: int = 640,
    small: bool = False,
    alt: str = "",
    on_event: Callable[[], None] = lambda: None,
) -> MapEvent:
    """Show the map.

    Parameters
    ----------
    atlas : Atlas
    view : MapView
    key : identity of this map in the page; the same key keeps zoom and WebGL context over reruns
    height : CSS pixels
    small : a picture of where an atom lies: no tools, no wheel zoom, no colour bar
    alt : text for a person who does not see the map
    on_event : called before the rerun after a click or a selection; read it there with :func:`map_event`
    """
    result = _COMPONENT(
        key=key,
        data=_payload(atlas, view, height, small, alt),
        on_clicked_change=on_event,
        on_selected_change=on_event,
    )
    return _event(result)


def map_event(key: str) -> MapEvent:
    """The event that caused this run, for callbacks."""
    return _event(st.session_state.get(key, {}))


def _event(state: Any) -> MapEvent:
    clicked, selected = state.get("clicked"), state.get("selected")
    return MapEvent(
        clicked=clicked if isinstance(clicked, int) else None,
        selected=[atom for atom in selected if isinstance(atom, int)] if isinstance(selected, list) else None,
    )


def _payload(atlas: Atlas, view: MapView, height: int, small: bool, alt: str) -> dict[str, Any]:
    static = f"{MAP}/static/{static_version()}"
    return {
        "module": f"{static}/atom_map.js",
        "static": static,
        "source": f"{MAP}/{atlas.key}",
        "atlas": atlas.key,
        "atoms": atlas.n_atoms,
        "axes": [_axis(atlas, column) for column in (view.x, view.y)],
        "color": _color(atlas, view.color, view.palette),
        "filter": view.filter.encoded(),
        "query": view.query,
        "selection": view.selection,
        "marked": view.marked,
        "focus": view.focus,
        "height": height,
        "small": small,
        "alt": alt,
    }


@lru_cache(maxsize=64)
def _axis(atlas: Atlas, column: str) -> dict[str, Any]:
    if column in ("x", "y"):
        return {"column": column, "place": True}
    return {**as_json(axis_scale(atlas.atoms[column])), "place": False, "title": column.replace("_", " ")}


@lru_cache(maxsize=64)
def _color(atlas: Atlas, column: str, palette: str) -> dict[str, Any]:
    if column in CATEGORICAL:
        _, categories = categories_of(atlas.atoms, column, category_names(atlas, column))
        return {
            "kind": "categorical",
            "column": column,
            "title": CATEGORICAL[column],
            "categories": [{"name": c.name, "count": c.count, "color": c.color} for c in categories],
        }
    return {
        "kind": "sequential",
        **as_json(color_scale(atlas.atoms[column])),
        "title": column.replace("_", " "),
        "palette": SEQUENTIAL[palette],
    }
