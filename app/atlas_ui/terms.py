"""Every word the dashboard uses, defined once; a page shows the definition on hover beside the word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.html import Html, tag

if TYPE_CHECKING:
    from engine.atlas import Atlas

TERMS = {
    "atom": "One direction of the dictionary the sparse autoencoder learned. It is a candidate for one concept.",
    "token": "One place inside an item: a piece of a text, or the CLS token or one patch of an image.",
    "patch": "One square of the image as the model cuts it; the model holds one activation vector for each.",
    "support": "The atoms with a code other than zero on a token. Sparsemax chooses how many: no fixed K.",
    "support size": "How many atoms fire on one token (L0 of its code). A large support means the token needs many "
    "concepts to be described.",
    "firing count": "On how many tokens of the corpus one atom fires.",
    "tau": "The threshold sparsemax computes for each token from its scores: atoms with a score above it are the support.",
    "activation": "The value of an atom's code on one token, in code units. It compares within an atom, not between atoms.",
    "exemplar": "An item on which the atom fires most, or, for the lower quantiles, an item sampled from weaker firings.",
    "quantile": "Share of the items on which the atom fires whose largest value is not above this one. Weak firings show "
    "whether the concept holds beyond its best examples.",
    "heat map": "The atom's activation at every patch, laid over the picture, or at every token of a text.",
    "live": "Atoms that fire, neither rarely (below 1 token in 100,000) nor on more than a tenth of all tokens.",
    "dead": "Atoms that fire on no token of the corpus.",
    "rare": "Atoms that fire on fewer than 1 token in 100,000: too few examples to be sure what they mean.",
    "dense": "Atoms that fire on more than a tenth of all tokens: rarely one concept.",
    "decoder neighbours": "Atoms whose decoder directions have the largest cosine with this one's: they write similar "
    "things into the model.",
    "co-activation": "Cosine of the two atoms' firing patterns over the sampled tokens: they fire on the same places.",
    "position": "Place of a token inside its item: CLS first, then the patches row by row; of a text, its tokens in order.",
    "CLS": "The token that stands for the whole image; it has no place in the picture.",
    "complexity": "Mean support size over an item's patches or tokens.",
    "tie rule": "Among candidates with exactly the same best score, the one whose next-token distribution has the lowest "
    "entropy goes first (RetLLM). Lowest entropy can also be a confident False.",
    "visual enhancement": "When the model is unsure while it reads, visual tokens are injected again into the output of one "
    "layer (RetLLM). Nothing is trained and no model source is changed.",
    "shared concepts": "Atoms of the open atlas that fire on the patches of both pictures.",
    "entrant": "An atom just below the threshold; its gap is how far tau would have to drop for it to enter the support.",
}


def definition(name: str, atlas: Atlas | None = None) -> str:
    """What a term or a column of the atlas means, in a sentence or two; empty when nobody defined it."""
    if name in TERMS:
        return TERMS[name]
    if atlas is not None:
        for columns in (atlas.meta.get("columns") or {}).values():
            if name in columns:
                return str(columns[name])
    from engine.atlas.format.schema import COLUMNS

    for known in COLUMNS.values():
        if name in known:
            return known[name].definition
    return ""


def term(text: str, name: str | None = None, atlas: Atlas | None = None) -> Html:
    """A word with its definition one hover (or one Tab) away. ``name`` when the text is not the term itself."""
    meaning = definition(name or text, atlas)
    return tag("span", text, cls="as-term", data_tip=meaning, tabindex=0) if meaning else tag("span", text)
