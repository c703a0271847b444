"""The shared kit of the pages: markup, galleries, small charts, definitions, notices and empty states.

A page builds :class:`Html` with these functions and shows it with :func:`live`; it holds no markup of its own.
"""

from app.ui.browser import Event, install_style, live, open_page
from app.ui.charts import Bar, bars, colour, histogram, legend, patch_grid, range_rows, table
from app.ui.definitions import definition, term
from app.ui.frame import atlas_card, page_title, section
from app.ui.gallery import (
    atom_card,
    atom_cards,
    exemplar_grid,
    heat_url,
    item_heat_url,
    map_marker,
    patch_picture,
    picture_of,
    support_card,
    thumb_url,
)
from app.ui.html import Html, join, tag
from app.ui.notices import empty, no_atlas, onboarding, plain, show_notices, warn
from app.ui.numbers import Figure, chip, compact, figures, number, percent
from app.ui.passages import exemplar_lines, passage, short, snippet, unit, units
from app.ui.plots import show_plot

__all__ = [
    "Bar",
    "Event",
    "Figure",
    "Html",
    "atlas_card",
    "atom_card",
    "atom_cards",
    "bars",
    "chip",
    "colour",
    "compact",
    "definition",
    "empty",
    "exemplar_grid",
    "exemplar_lines",
    "figures",
    "heat_url",
    "histogram",
    "install_style",
    "item_heat_url",
    "join",
    "legend",
    "live",
    "map_marker",
    "no_atlas",
    "number",
    "onboarding",
    "open_page",
    "page_title",
    "passage",
    "patch_grid",
    "patch_picture",
    "percent",
    "picture_of",
    "plain",
    "range_rows",
    "section",
    "short",
    "show_notices",
    "show_plot",
    "snippet",
    "support_card",
    "table",
    "tag",
    "term",
    "thumb_url",
    "unit",
    "units",
    "warn",
]
