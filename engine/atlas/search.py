"""Search for atoms by words: in their labels, and in the captions of their exemplars."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.atlas.top_exemplars import exemplar_pairs
from engine.derived import derived

if TYPE_CHECKING:
    from engine.atlas import Atlas


@derived
def names(atlas: Atlas) -> list[str]:
    """The name of every atom: its label, else its top label, else nothing.

    The classes of texts say what a text is about, not what a token of it is: there an atom without a label has no name.
    """
    table = atlas.atoms
    if atlas.is_text:
        return [str(label) for label in table["label"]]
    return [label or top for label, top in zip(table["label"], table["top_label"], strict=True)]


class AtomMatch(NamedTuple):
    """One atom that matches: why (``label`` or ``captions``), and in how many of its top exemplars the words stand."""

    atom: int
    reason: str
    exemplars: int


def find_atoms(atlas: Atlas, words: str, limit: int | None = None) -> list[AtomMatch]:
    """Atoms whose label or candidates hold all the words, then atoms whose top exemplars' captions or labels do.

    Among the first, those that are called exactly so come first, then the more frequent.

    Case does not matter; a word matches inside other words ("cat" finds "cats"). Captions count when at least two of an
    atom's top exemplars match (one is chance), most first.
    """
    needles = words.lower().split()[:8]
    if not needles:
        return []
    by_label = [int(atom) for atom in np.flatnonzero(_holds(_searchable(atlas), needles))]
    fired, whole = atlas.atoms["firing_count"].to_numpy(), " ".join(needles)
    titles = names(atlas)
    by_label.sort(key=lambda atom: (titles[atom].lower() != whole, -fired[atom], atom))
    counts = _caption_counts(atlas, needles)
    by_caption = [int(a) for a in np.argsort(-counts, kind="stable") if counts[a] >= 2]
    named = set(by_label)
    found = [AtomMatch(atom, "label", int(counts[atom])) for atom in by_label]
    found += [AtomMatch(atom, "captions", int(counts[atom])) for atom in by_caption if atom not in named]
    return found[:limit]


def _caption_counts(atlas: Atlas, needles: list[str]) -> NDArray[np.int64]:
    """For every atom the top exemplars whose words match: the caption of a picture, the words around a token of a text."""
    pairs = exemplar_pairs(atlas)
    if atlas.is_text:
        hit = _holds(_snippet_texts(atlas), needles)
    else:
        hit = _holds(_item_texts(atlas), needles)[pairs["item"].to_numpy()]
    return np.bincount(pairs["atom"].to_numpy()[hit], minlength=atlas.n_atoms)


@derived
def _snippet_texts(atlas: Atlas) -> pd.Series:
    """The words around the token of every row of :func:`exemplar_pairs`."""
    pairs, words = exemplar_pairs(atlas), atlas.snippets
    places = zip(pairs["item"], pairs["position"], strict=True)
    return pd.Series([words.window(int(item), int(position)).lower() for item, position in places], dtype="str")


def _holds(texts: pd.Series, needles: list[str]) -> NDArray[np.bool_]:
    hit = np.ones(len(texts), bool)
    for needle in needles:
        hit &= texts.str.contains(needle, regex=False).to_numpy(bool)
    return hit


@derived
def _searchable(atlas: Atlas) -> pd.Series:
    table = atlas.atoms
    joined = [
        " · ".join([label, top, *others]).lower()
        for label, top, others in zip(table["label"], table["top_label"], table["label_candidates"], strict=True)
    ]
    return pd.Series(joined, dtype="str")


@derived
def _item_texts(atlas: Atlas) -> pd.Series:
    items = atlas.items
    return pd.Series((items["caption"] + " · " + items["label"]).str.lower().to_numpy(), dtype="str")
