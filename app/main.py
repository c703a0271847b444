"""The frame around every page: which pages there are, which atlas is open, what to say when none is."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import NamedTuple

import streamlit as st

from app import atlas_ui, state, ui
from app.opened import atlases
from app.urls import START_PAGE
from engine.paths import ASSETS


class PageEntry(NamedTuple):
    """One page of the navigation. ``name`` is its folder below ``app/pages`` and its URL path."""

    name: str
    title: str
    icon: str
    purpose: str


PAGES = (
    PageEntry("overview", "Overview", ":material/lens_blur:", "What this atlas holds and how good it is."),
    PageEntry(
        "counts",
        "Activation counts",
        ":material/grid_on:",
        "How many atoms each patch or token needs, and how often each atom fires.",
    ),
    PageEntry("concepts", "Concepts", ":material/category:", "One atom at a time: what makes it fire."),
    PageEntry("map", "Dictionary map", ":material/scatter_plot:", "All atoms at once, similar ones together."),
    PageEntry("compare", "Compare", ":material/balance:", "Several SAEs on the same activations, side by side."),
    PageEntry(
        "retrieval",
        "Retrieval",
        ":material/image_search:",
        "Search pictures, and watch a multimodal model decide.",
    ),
)


def main() -> None:
    """Draw the frame and run the page the URL names."""
    st.set_page_config("Atomscope", ASSETS / "icon.png", layout="wide", initial_sidebar_state=236)
    st.logo(ASSETS / "logo.png", size="small", icon_image=ASSETS / "icon.png")
    ui.install_style()
    pages = _pages()
    page = st.navigation(list(pages.values()))
    state.remember_pages(pages)
    if not atlases.atlases():
        atlas_ui.no_atlas(atlases.entries())
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
    return {
        page.name: st.Page(
            _runner(page.name),
            title=page.title,
            icon=page.icon,
            url_path=page.name,
            default=page.name == START_PAGE,
            help=page.purpose,
        )
        for page in PAGES
    }


def _runner(name: str) -> Callable[[], None]:
    # Imported when shown, not when listed: the first paint should not wait for other pages.
    def run() -> None:
        import_module(f"app.pages.{name}.page").page()

    return run


def _sidebar() -> None:
    atlas = state.atlas()
    with st.sidebar:
        atlas_ui.atlas_card(atlas)
        known = atlases.atlases()
        if len(known) > 1:
            st.session_state["sidebar_atlas"] = atlas.key
            st.selectbox(
                "Atlas",
                list(known),
                format_func=lambda key: known[key].title,
                key="sidebar_atlas",
                on_change=_choose_atlas,
            )
        for entry in atlases.entries():
            if entry.problem:
                st.caption(f":material/error: {ui.plain(entry.problem)}")


def _choose_atlas() -> None:
    state.switch_atlas(st.session_state["sidebar_atlas"])
