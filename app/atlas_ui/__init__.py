"""What pages draw of an atlas: pictures and snippets of items, cards of atoms, definitions, the frame of a page."""

from app.atlas_ui.cards import (
    atom_card,
    atom_cards,
    exemplar_grid,
    map_marker,
    patch_picture,
    picture_of,
    support_card,
)
from app.atlas_ui.frame import atlas_card, block_of, no_atlas, page_title, show_notices
from app.atlas_ui.terms import definition, term
from app.atlas_ui.texts import exemplar_lines, passage, short, snippet, unit, units

__all__ = [
    "atlas_card",
    "atom_card",
    "atom_cards",
    "block_of",
    "definition",
    "exemplar_grid",
    "exemplar_lines",
    "map_marker",
    "no_atlas",
    "page_title",
    "passage",
    "patch_picture",
    "picture_of",
    "short",
    "show_notices",
    "snippet",
    "support_card",
    "term",
    "unit",
    "units",
]
