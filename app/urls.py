"""Every address of the dashboard, built and read here alone: routes of pictures and data, and links to pages.

A route below ``/atomscope/`` names its content (it begins with a content key), so its answer never changes and browsers may
keep it for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from engine.atlas import Atlas

PREFIX = "/atomscope"
MAP = f"{PREFIX}/map"
"""What the atom map fetches by itself lies below it."""

START_PAGE = "overview"
"""The page at the root of the site: its path is empty."""

# Patterns, as Starlette reads them.
THUMB = f"{PREFIX}/thumb/{{atlas}}/{{item}}.webp"
HEAT = f"{PREFIX}/heat/{{atlas}}/{{atom}}/{{name}}.png"
ITEM_HEAT = f"{PREFIX}/item-heat/{{atlas}}/{{item}}/{{atom}}.png"
SUPPORT = f"{PREFIX}/support/{{atlas}}/{{item}}.png"
SUPPORT_NUMBERS = f"{PREFIX}/support/{{atlas}}/{{item}}.json"
ITEM = f"{PREFIX}/item/{{atlas}}/{{item}}.json"
MAP_PICTURE = f"{PREFIX}/map/{{atlas}}.png"
EXPORT = f"{PREFIX}/export/{{atlas}}/{{atom}}"
CORPUS_THUMB = f"{PREFIX}/corpus/{{content}}/{{item}}.webp"
FONT = f"{PREFIX}/fonts/{{name}}"
SCRIPT = f"{PREFIX}/ui/{{name}}"


def thumb(atlas: Atlas, item: int) -> str:
    """An item's picture as the model saw it."""
    return THUMB.format(atlas=atlas.key, item=item)


def heat(atlas: Atlas, atom: int, kind: str, rank: int, scale: str = "atom") -> str:
    """An exemplar's heat map, to lay over its picture."""
    query = "" if scale == "atom" else f"?scale={scale}"
    return HEAT.format(atlas=atlas.key, atom=atom, name=f"{kind}-{rank}") + query


def item_heat(atlas: Atlas, item: int, atom: int) -> str:
    """Any atom's heat map over a sampled item."""
    return ITEM_HEAT.format(atlas=atlas.key, item=item, atom=atom)


def support(atlas: Atlas, item: int) -> str:
    """Support size of every patch of an item, to lay over its picture."""
    return SUPPORT.format(atlas=atlas.key, item=item)


def support_numbers(atlas: Atlas, item: int) -> str:
    """The same as numbers."""
    return SUPPORT_NUMBERS.format(atlas=atlas.key, item=item)


def items(atlas: Atlas) -> str:
    """What the address of every item's words begins with."""
    return ITEM.format(atlas=atlas.key, item="").removesuffix(".json")


def map_picture(atlas: Atlas) -> str:
    """The small map of all atoms."""
    return MAP_PICTURE.format(atlas=atlas.key)


def export(atlas: Atlas, atom: int, file: str) -> str:
    """What a person takes away of an atom."""
    return f"{EXPORT.format(atlas=atlas.key, atom=atom)}/{file}"


def corpus_thumb(content: str, item: int) -> str:
    """A picture of a searched corpus, by the first digits of the corpus's hash."""
    return CORPUS_THUMB.format(content=content, item=item)


def script(name: str) -> str:
    """The browser half of our markup."""
    return SCRIPT.format(name=name)


def page_link(page: str, values: Mapping[str, int | str]) -> str:
    """The link to a page at the given values, for an ``<a>``: relative, so that it works behind a proxy's prefix."""
    path = "./" if page == START_PAGE else page
    return f"{path}?{urlencode(values)}"
