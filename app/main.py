"""The frame around every page: which pages there are, which atlas is open, what to say when none is."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import streamlit as st

from app import library, state, ui
from engine.paths import ASSETS

# Module below app.pages, URL path, title, icon, and what the page is for. Only pages that exist are shown.
PAGES = [
    ("overview", "overview", "Overview", ":material/lens_blur:", "What this atlas holds and how good it is."),
    (
        "activation_counts",
        "counts",
        "Activation counts",
        ":material/grid_on:",
        "How many atoms each patch or token needs, and how often each atom fires.",
    ),
    ("concepts", "concepts", "Concepts", ":material/category:", "One atom at a time: what makes it fire."),
    ("dictionary_map", "map", "Dictionary map", ":material/scatter_plot:", "All atoms at once, similar ones together."),
    ("compare", "compare", "Compare", ":material/balance:", "Several SAEs on the same activations, side by side."),
    (
        "retrieval",
        "retrieval",
        "Retrieval",
        ":material/image_search:",
        "Search pictures, and watch a multimodal model decide.",
    ),
]


def main() -> None:
    """Draw the frame and run the page the URL names."""
    st.set_page_config("Atomscope", ASSETS / "icon.png", layout="wide", initial_sidebar_state=236)
    st.logo(ASSETS / "logo.png", size="small", icon_image=ASSETS / "icon.png")
    ui.install_style()
    pages = _pages()
    page = st.navigation(list(pages.values()))
    state.remember_pages(pages)
    if not library.atlases():
        ui.no_atlas(library.entries())
        return
    _sidebar()
    page.run()
    _freeze(page.url_path, state.atlas().key)


@cache
def _freeze(page: str, atlas: str) -> None:
    """Take what the first run of a page has loaded out of garbage collection, once a page and atlas.

    Streamlit collects all generations after every run; over a few hundred thousand objects of pandas, plotly and the
    atlas that never go away, this cost more than the run.
    """
    gc.collect()
    gc.freeze()


def _pages() -> dict[str, st.Page]:
    built = [page for page in PAGES if find_spec(f"app.pages.{page[0]}") is not None]
    return {
        path: st.Page(_runner(module), title=title, icon=icon, url_path=path, default=place == 0, help=purpose)
        for place, (module, path, title, icon, purpose) in enumerate(built)
    }


def _runner(module: str) -> Callable[[], None]:
    # Imported when shown, not when listed: the first paint should not wait for other pages.
    def run() -> None:
        import_module(f"app.pages.{module}").page()

    return run


def _sidebar() -> None:
    atlas = state.atlas()
    with st.sidebar:
        ui.atlas_card(atlas)
        known = library.atlases()
        if len(known) > 1:
            st.session_state["sidebar_atlas"] = atlas.key
            st.selectbox(
                "Atlas",
                list(known),
                format_func=lambda key: known[key].title,
                key="sidebar_atlas",
                on_change=_choose_atlas,
            )
        for entry in library.entries():
            if entry.problem:
                st.caption(f":material/error: {ui.plain(entry.problem)}")


def _choose_atlas() -> None:
    state.switch_atlas(st.session_state["sidebar_atlas"])
