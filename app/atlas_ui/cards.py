"""Pictures of an atlas as lazy grids of URLs: the server sends a few hundred bytes per picture, the browser fetches it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from app import state, urls
from app.atlas_ui import map_picture
from app.atlas_ui.texts import exemplar_lines, passage, short
from app.ui.html import Html, tag
from app.ui.numbers import number, percent
from app.ui.words import cut
from engine.atlas import search, top_exemplars

if TYPE_CHECKING:
    import pandas as pd

    from engine.atlas import Atlas

_CAPTION = 160
_ON = "Support of its patches"


def exemplar_grid(
    atlas: Atlas, atom: int, exemplars: pd.DataFrame, heat: str = "atom", outline: bool = True, size: str = "m"
) -> Html:
    """Exemplars (rows of ``Atlas.exemplars``) as a grid of pictures with heat maps; of texts as lines of tokens.

    Parameters
    ----------
    heat : ``"atom"`` or ``"picture"`` (what the heat is scaled by), or ``"off"``.
    outline : frame the patch where the value is reached.
    size : ``"s"``, ``"m"`` or ``"l"``.
    """
    if atlas.is_text:
        return exemplar_lines(atlas, atom, exemplars, heat, outline, size)
    items = atlas.items.loc[exemplars["item"], ["kind", "label", "caption"]]
    cards = [
        _exemplar(atlas, atom, row, about, heat, outline)
        for row, about in zip(exemplars.itertuples(index=False), items.itertuples(index=False), strict=True)
    ]
    go = state.href("counts", item="") if state.has_page("counts") else None
    # What all cards share is written once: a step should stay small.
    return tag(
        "div",
        cards,
        cls=f"as-grid as-{size}",
        data_zoom=_ON,
        data_href=go,
        data_items=urls.items(atlas),
        style=_patch_size(atlas),
    )


def _exemplar(atlas: Atlas, atom: int, row: Any, about: Any, heat: str, outline: bool) -> Html:
    over = None if heat == "off" else urls.heat(atlas, atom, row.kind, row.rank, heat)
    picture = picture_of(atlas, row.item, about, over, row.position if outline else None)
    note = None if row.kind == "top" else tag("em", f"q {percent(row.quantile)}")
    return tag(
        "figure",
        tag("a", picture, data_value=row.item),
        tag("figcaption", tag("b", number(row.value)), note, cut(about.caption or about.label, _CAPTION)),
    )


def picture_of(atlas: Atlas, item: int, about: Any, over: str | None = None, peak: int | None = None) -> Html:
    """An item's picture (or text) with an overlay and the frame around one patch; ``about`` is its row of the items."""
    if about.kind == "text":
        return tag("span", cut(about.caption, 220), cls="as-text")
    alt = about.label or cut(about.caption, 40) or f"item {item}"
    layers = [tag("img", src=urls.thumb(atlas, item), loading="lazy", alt=alt)]
    if over is not None and atlas.grid[0]:
        layers.append(tag("img", src=over, loading="lazy", alt="", cls="as-over"))
    if peak is not None and peak >= atlas.prefix and atlas.grid[0]:
        layers.append(tag("i", cls="as-peak", style=_patch_place(atlas, peak)))
    return tag("span", layers, cls="as-pic")


def _patch_size(atlas: Atlas) -> str | None:
    rows, columns = atlas.grid
    return f"--pw:{100 / columns:.4g}%;--ph:{100 / rows:.4g}%" if rows and columns else None


def _patch_place(atlas: Atlas, position: int) -> str:
    """CSS of where a patch begins, in percent of the picture."""
    rows, columns = atlas.grid
    row, column = divmod(position - atlas.prefix, columns)
    return f"left:{100 * column / columns:.4g}%;top:{100 * row / rows:.4g}%"


def support_card(atlas: Atlas, item: int, overlay: bool = True, selected: bool = False, on: str = "item") -> Html:
    """One item with the support size of every patch painted over it; pointing at a patch tells its number."""
    about = atlas.items.loc[item]
    if atlas.is_text:
        text = tag("span", passage(atlas, item, overlay, choose=False), cls="as-chunk")
        link = tag("a", text, data_on=on, data_value=item, href=state.href("counts", item=item))
        mean = float(atlas.support[item, atlas.prefix :].mean())
        below = tag("figcaption", tag("b", f"{mean:.1f}"), " ", str(about["label"]))
        return tag("figure", link, below, cls="as-on" if selected else None)
    over = urls.support(atlas, item) if overlay else None
    picture = picture_of(atlas, item, about, over, None)
    pointing = _pointing(atlas, item) if about["kind"] == "image" and atlas.grid[0] else {}
    caption = cut(about["caption"] or about["label"], _CAPTION)
    mean = float(atlas.support[item, atlas.prefix :].mean()) if atlas.n_positions > atlas.prefix else float("nan")
    link = tag("a", picture, data_on=on, data_value=item, href=state.href("counts", item=item), **pointing)
    return tag(
        "figure", link, tag("figcaption", tag("b", f"{mean:.1f}"), " ", caption), cls="as-on" if selected else None
    )


def patch_picture(atlas: Atlas, item: int, position: int, painted: bool) -> Html:
    """One picture large; each patch tells its support size and can be chosen; rows with ``data-heat`` paint over it."""
    about = atlas.items.loc[item]
    over = urls.support(atlas, item) if painted else None
    picture = picture_of(atlas, item, about, over, position)
    return tag(
        "a",
        picture,
        cls="as-big",
        style=_patch_size(atlas),
        tabindex=0,
        data_heat_here=True,
        data_on="patch",
        data_value=item,
        **_pointing(atlas, item),
    )


def _pointing(atlas: Atlas, item: int) -> dict[str, str]:
    """Attributes that let a picture tell the support size of the patch under the pointer."""
    rows, columns = atlas.grid
    return {
        "data_grid": f"{rows},{columns},{atlas.prefix}",
        "data_numbers": urls.support_numbers(atlas, item),
        "data_says": "support size",
    }


def atom_card(atlas: Atlas, atom: int, note: str = "", pictures: int = 3, tip: str = "") -> Html:
    """One atom small: its first exemplars, id, label and a note; a click opens it."""
    items = [int(i) for i in top_exemplars.top_items(atlas)[atom][:pictures] if i >= 0]
    strip: Html | None = None
    if atlas.is_text:
        below = short(atlas, items[0], int(top_exemplars.top_positions(atlas)[atom][0])) if items else None
    else:
        below = None
        if atlas.grid[0]:
            shown = [tag("img", src=urls.thumb(atlas, item), loading="lazy", alt="") for item in items]
            strip = tag("span", shown, cls="as-strip")
    called = search.names(atlas)[atom] or "no label"
    words = tag("span", tag("b", cut(called, 34)), tag("span", f"{atom}", cls="as-id"), tag("em", note), below)
    link = state.href("concepts", atom=atom)
    return tag(
        "a",
        strip,
        words,
        cls="as-atom",
        data_on="atom",
        data_value=atom,
        href=link,
        data_tip=tip or None,
    )


def atom_cards(cards: Iterable[Html]) -> Html:
    """Atom cards in a responsive grid."""
    return tag("div", list(cards), cls="as-atoms")


def map_marker(atlas: Atlas, atom: int, others: Sequence[int] = ()) -> Html | None:
    """The small map of all atoms with this one (and, fainter, others) marked; None when the atlas has no layout."""
    place = map_picture.map_place(atlas, atom)
    if place is None:
        return None
    dots = [_dot(other, "as-near") for spot in others if (other := map_picture.map_place(atlas, spot)) is not None]
    alt = f"Map of all atoms; atom {atom} is marked"
    picture = tag("img", src=urls.map_picture(atlas), alt=alt, loading="lazy")
    return tag("div", picture, dots, _dot(place, "as-here"), cls="as-minimap")


def _dot(place: tuple[float, float], cls: str) -> Html:
    return tag("i", cls=cls, style=f"left:{100 * place[0]:.2f}%;top:{100 * place[1]:.2f}%")
