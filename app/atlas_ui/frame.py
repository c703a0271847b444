"""What every page has: a title line, sections, and the card in the sidebar that says which atlas is open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.opened import atlases
from app.ui.browser import live
from app.ui.html import tag
from app.ui.notices import empty, plain
from app.ui.numbers import compact
from engine.paths import DEMO_ATLAS

if TYPE_CHECKING:
    from engine.atlas import Atlas


def page_title(title: str, lede: str) -> None:
    """The first lines of a page, and below them what there is to say about the URL it was asked for."""
    st.html(str(tag("header", tag("h1", title), tag("p", lede), cls="as-title")))
    show_notices()


def show_notices() -> None:
    """Show the sentences that wait (a bad id in the URL and the like), once."""
    for sentence in state.take_notices():
        st.info(plain(sentence), icon=":material/info:")


def no_atlas(entries: Iterable[atlases.AtlasEntry]) -> None:
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


def atlas_card(atlas: Atlas) -> None:
    """Which model, layer and corpus the page is about."""
    backbone, counts = atlas.meta["backbone"], atlas.meta["counts"]
    model = str(backbone.get("name", "")).rsplit("/", 1)[-1]
    rows = [
        ("model", model),
        ("layer", f"{block_of(backbone)}, {backbone.get('site', '')}"),
        ("SAE", f"{atlas.meta['sae'].get('architecture', '')}, {counts['atoms']:,} atoms"),
        ("corpus", f"{counts['items']:,} items, {compact(counts['tokens'])} tokens"),
    ]
    body = tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in rows])
    live(tag("div", tag("b", atlas.title), body, cls="as-atlas"), key="sidebar_card")


def block_of(backbone: Mapping[str, Any]) -> str:
    """Which block of a model an atlas (its entry ``backbone``) reads, counted from 1 as people count.

    ``layer_index`` counts from 0, ``layer`` may count from the end.
    """
    index, blocks = int(backbone.get("layer_index", backbone.get("layer", 0))), int(backbone.get("n_layers") or 0)
    return f"block {index % blocks + 1} of {blocks}" if blocks else f"layer {index}"
