"""What pictures share in the dictionary of an atlas: the atoms that fire in several of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import AtomscopeError
from engine.inspection.encoding import EncodedImage, Encoder, sampled

if TYPE_CHECKING:
    from engine.atlas import Atlas

COMPARED = 5
"""Candidates that are compared: the first of the final order."""


def atlas_item(atlas: Atlas, corpus_hash: str, row: int) -> int | None:
    """The atlas's item that is row ``row`` of this corpus, None when the atlas was made from another corpus."""
    if atlas.meta["corpus"].get("hash") != corpus_hash or "corpus_index" not in atlas.items:
        return None
    found = (atlas.items["corpus_index"] == row).to_numpy().nonzero()[0]
    return int(found[0]) if len(found) else None


@dataclass(frozen=True)
class SharedAtom:
    """One atom several pictures share: ``strength`` ranks it, ``count`` says in how many candidates it fires."""

    atom: int
    strength: float
    count: int


def shared_atoms(
    atlas: Atlas, query: EncodedImage | None, candidates: Sequence[EncodedImage], most: int = 8
) -> list[SharedAtom]:
    """The atoms query picture and candidates share, or, without a query picture, those the candidates share.

    An atom's strength in a picture is its peak there over its largest peak anywhere; two pictures share the smaller of
    the two. What fires almost everywhere says little: the sum is weighted by the log of how rare the atom is among items
    (inverse document frequency), and dense atoms are left out.

    Parameters
    ----------
    most : atoms returned, strongest first
    """
    table = atlas.atoms
    largest = table["max_activation"].to_numpy(float)
    weight = np.log(atlas.n_items / np.maximum(table["item_count"].to_numpy(float), 1))
    weight[(table["status"] == "dense").to_numpy()] = 0

    def strengths(encoded: EncodedImage) -> NDArray[np.float64]:
        dense = np.zeros(atlas.n_atoms)
        dense[encoded.atoms] = encoded.peaks / np.maximum(largest[encoded.atoms], 1e-9)
        return dense

    if not candidates:
        return []
    each = np.stack([strengths(seen) for seen in candidates])
    common = np.minimum(each, strengths(query)) if query is not None else each
    count = (common > 0).sum(axis=0)
    total = common.sum(axis=0) * weight
    total[count < (1 if query is not None else min(2, len(candidates)))] = 0
    best = np.argsort(-total, kind="stable")[:most]
    return [
        SharedAtom(int(a), float(total[a]), int(count[a])) for a in best if total[a] > 0 and math.isfinite(total[a])
    ]


@dataclass(frozen=True)
class EncodedCandidate:
    """One picture of a search: "query" or a corpus row; its atoms, or why they could not be had."""

    who: int | Literal["query"]
    encoded: EncodedImage | None
    problem: str = ""


def encode_candidate(
    encoder: Callable[[], Encoder],
    atlas: Atlas,
    who: int | Literal["query"],
    known: int | None,
    load: Callable[[], Image.Image],
) -> EncodedCandidate:
    """The atoms of one picture of a search.

    Parameters
    ----------
    encoder : gives the models; only called when the atlas does not hold the picture's codes
    known : the atlas's own item of this picture, None if there is none
    load : decodes the picture
    """
    try:
        held = sampled(atlas, known) if known is not None else None
        return EncodedCandidate(who, held if held is not None else encoder().encode(load()))
    except AtomscopeError as error:
        return EncodedCandidate(who, None, str(error))
