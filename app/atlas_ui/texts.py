"""Texts of an atlas: an exemplar as a snippet with the activating tokens marked, a chunk with its support sizes painted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from app import state
from app.atlas_ui import heat
from app.ui.charts import colour
from app.ui.html import Html, tag
from app.ui.numbers import number, percent

if TYPE_CHECKING:
    import pandas as pd

    from engine.atlas import Atlas

REACH = 110
"""Characters of a snippet on each side of the token where the value is reached."""


def unit(atlas: Atlas) -> str:
    """The word for the place of an activation: a patch of a picture, or a token of a text."""
    return "token" if atlas.is_text else "patch"


def units(atlas: Atlas) -> str:
    """``unit`` in the plural."""
    return "tokens" if atlas.is_text else "patches"


def snippet(
    atlas: Atlas,
    item: int,
    position: int,
    values: Mapping[int, float] | None = None,
    top: float = 0.0,
    outline: bool = True,
    reach: int = REACH,
    cls: str = "as-text as-snippet",
) -> Html:
    """The text around one token, inside its own text, with every token of ``values`` marked as strongly as it fires.

    Parameters
    ----------
    values : position -> activation
    top : activation of a full mark
    outline : whether the token at ``position`` is framed
    """
    words = atlas.snippets
    if position < atlas.prefix:
        return tag("span", "before the text", cls=cls)
    first, last = words.span(item, position)
    low, high = words.text_bounds(item, first, last)
    left, right = max(low, first - reach), min(high, last + reach)
    starts = words.starts[item]
    begin = int(np.searchsorted(starts, left, side="left"))
    end = int(np.searchsorted(starts, right, side="right"))
    begin, end = min(max(begin, atlas.prefix), position), max(end, position + 1)
    parts: list[Any] = ["…" if words.span(item, begin)[0] > low else None]
    for place in range(begin, min(end, len(starts))):
        a, b = words.span(item, place)
        if a >= right and place != position:
            break
        piece = words.captions[item][a:b]
        shown = "¶" if piece and piece == words.separator else piece
        value = (values or {}).get(place)
        peak = outline and place == position
        if value is None and not peak:
            parts.append(shown)
            continue
        share = min(max((value or 0.0) / top, 0.0), 1.0) if top > 0 else 0.0
        # A weak activation must still be visible: the exponent lifts the low end.
        style = f"--a:{round(8 + 62 * share**0.7)}%" if value is not None else None
        tip = f"{number(value)}" if value is not None else None
        word = shown.lstrip(" ")  # the mark begins with the word, not with the space that most tokens carry
        parts.append(shown[: len(shown) - len(word)])
        parts.append(tag("mark", word or " ", cls="as-at" if peak else None, style=style, data_tip=tip))
    parts.append("…" if words.span(item, min(end, len(starts)) - 1)[1] < high else None)
    return tag("span", parts, cls=cls)


def exemplar_lines(
    atlas: Atlas, atom: int, exemplars: pd.DataFrame, heat: str = "atom", outline: bool = True, size: str = "m"
) -> Html:
    """Exemplars (rows of ``Atlas.exemplars``) as lines of text; arguments as in ``exemplar_grid``."""
    largest = float(atlas.atoms["max_activation"].iloc[atom])
    labels = atlas.items["label"].to_numpy()
    lines = []
    for row in exemplars.itertuples(index=False):
        values = dict(zip(map(int, row.heat_positions), map(float, row.heat_values), strict=True))
        top = 0.0 if not values else largest if heat == "atom" else max(values.values())
        text = snippet(
            atlas,
            int(row.item),
            int(row.position),
            None if heat == "off" else values,
            top,
            outline,
            REACH if size == "m" else REACH // 2,
        )
        note = None if row.kind == "top" else tag("em", f"q {percent(row.quantile)}")
        where = _counts(row.item, row.position)
        link = tag("a", text, data_on="go" if where else None, href=where)
        lines.append(
            tag("figure", link, tag("figcaption", tag("b", number(row.value)), note, labels[row.item]), cls="as-line")
        )
    return tag("div", lines, cls=f"as-lines as-{size}")


def short(atlas: Atlas, item: int, position: int, reach: int = 34) -> Html:
    """One line of a snippet with its token framed, for cards."""
    return snippet(atlas, item, position, None, 0.0, True, reach, "as-short")


def passage(atlas: Atlas, item: int, painted: bool, selected: int | None = None, choose: bool = True) -> Html:
    """A whole chunk; every token in the colour of its support size, and a button where ``choose``.

    The separator ends a text: a pilcrow, and a new line.
    """
    words = atlas.snippets
    low, high = heat.support_range(atlas)
    parts: list[Any] = []
    for place, size in enumerate(atlas.support[item]):
        a, b = words.span(item, place)
        piece = words.captions[item][a:b]
        ends = bool(piece) and piece == words.separator
        shown = "lead" if place < atlas.prefix else "¶" if ends else piece
        if not shown:
            continue
        on = {"data_on": "patch", "data_value": f"{item}:{place}", "role": "button", "tabindex": 0} if choose else {}
        names = [name for name, said in (("as-on", place == selected), ("as-end", ends)) if said]
        parts.append(
            tag(
                "span",
                shown,
                cls=" ".join(names) or None,
                style=f"--c:{colour(float(size), low, high)}" if painted else None,
                data_tip=f"support size {int(size)}" if choose else None,
                **on,
            )
        )
        if ends:
            parts.append(tag("br"))
    return tag("p", parts, cls="as-passage as-painted" if painted else "as-passage")


def _counts(item: int, position: int) -> str | None:
    return state.href("counts", item=int(item), position=int(position)) if state.has_page("counts") else None
