"""The shared kit of the pages: markup, small charts, numbers, notices and empty states. It knows no atlas.

A page builds :class:`Html` with these functions and shows it with :func:`live`; it holds no markup of its own.
"""

from app.ui.browser import MarkupEvent, install_style, live, open_page
from app.ui.charts import Bar, bars, colour, histogram, legend, patch_grid, range_rows, table
from app.ui.html import Html, join, tag
from app.ui.notices import empty, onboarding, plain, warn
from app.ui.numbers import Figure, chip, compact, figures, number, percent
from app.ui.plots import show_plot
from app.ui.titles import section
from app.ui.words import cut

__all__ = [
    "Bar",
    "Figure",
    "Html",
    "MarkupEvent",
    "bars",
    "chip",
    "colour",
    "compact",
    "cut",
    "empty",
    "figures",
    "histogram",
    "install_style",
    "join",
    "legend",
    "live",
    "number",
    "onboarding",
    "open_page",
    "patch_grid",
    "percent",
    "plain",
    "range_rows",
    "section",
    "show_plot",
    "table",
    "tag",
    "warn",
]
