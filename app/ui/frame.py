"""What every page has: a title line, sections, and the card in the sidebar that says which atlas is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.ui.browser import live
from app.ui.html import Html, join, tag
from app.ui.notices import show_notices
from app.ui.numbers import compact

if TYPE_CHECKING:
    from engine.atlas import Atlas


def page_title(title: str, lede: str) -> None:
    """The first lines of a page, and below them what there is to say about the URL it was asked for."""
    st.html(str(tag("header", tag("h1", title), tag("p", lede), cls="as-title")))
    show_notices()


def section(title: object, hint: object = "", *content: object, level: int = 2) -> Html:
    """A heading with a quiet sentence beside it, and what belongs to it."""
    note = tag("span", hint, cls="as-hint") if hint else None
    return join(tag(f"h{level}", title, note, cls="as-section"), *content)


def atlas_card(atlas: Atlas) -> None:
    """Which model, layer and corpus the page is about."""
    backbone, counts = atlas.meta["backbone"], atlas.meta["counts"]
    model = str(backbone.get("name", "")).rsplit("/", 1)[-1]
    rows = [
        ("model", model),
        ("layer", _layer(backbone)),
        ("SAE", f"{atlas.meta['sae'].get('architecture', '')}, {counts['atoms']:,} atoms"),
        ("corpus", f"{counts['items']:,} items, {compact(counts['tokens'])} tokens"),
    ]
    body = tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in rows])
    live(tag("div", tag("b", atlas.title), body, cls="as-atlas"), key="sidebar_card")


def _layer(backbone: dict[str, Any]) -> str:
    """Which block is listened to, counted from 1 as people count, and what of it."""
    index, blocks = int(backbone.get("layer_index", backbone.get("layer", 0))), int(backbone.get("n_layers") or 0)
    place = f"block {index % blocks + 1} of {blocks}" if blocks else f"layer {index}"
    return f"{place}, {backbone.get('site', '')}"
