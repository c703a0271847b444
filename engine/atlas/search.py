"""Finding atoms: the order to step through them, and words to look them up by. Pure functions over an atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.derived import derived

if TYPE_CHECKING:
    from engine.atlas import Atlas

# Key in the URL -> (what a person reads, column, largest first). Ties and NaN (dead atoms) fall back to the id.
ORDERS: dict[str, tuple[str, str | None, bool]] = {
    "id": ("by id", None, False),
    "frequent": ("most frequent first", "firing_count", True),
    "rarest": ("rarest first", "firing_count", False),
    "monosemantic": ("most monosemantic first", "monosemanticity", True),
    "one-label": ("lowest label entropy first", "label_entropy", False),
    "mixed-labels": ("highest label entropy first", "label_entropy", True),
    "strongest": ("largest activation first", "max_activation", True),
    "similar": ("least diverse first", "diversity", False),
}

PREVIEW = 3


class Order(NamedTuple):
    """Atoms in stepping order [K] and the place of every atom in it [M], -1 for atoms left out."""

    atoms: NDArray[np.int64]
    place: NDArray[np.int64]


@derived
def order(atlas: Atlas, by: str, statuses: tuple[str, ...]) -> Order:
    """Atoms whose status is among ``statuses``, ordered by a key of :data:`ORDERS`."""
    table = atlas.atoms
    kept = np.flatnonzero(table["status"].isin(list(statuses)).to_numpy())
    _, column, largest_first = ORDERS[by]
    if column is not None:
        values = table[column].to_numpy(float)[kept]
        values = -values if largest_first else values
        kept = kept[np.argsort(np.where(np.isnan(values), np.inf, values), kind="stable")]
    place = np.full(len(table), -1, np.int64)
    place[kept] = np.arange(len(kept))
    return Order(kept, place)


def step(sequence: Order, atom: int, by: int) -> int:
    """The atom ``by`` places further in the order, round the ends; from an atom outside it, the first or the last."""
    if len(sequence.atoms) == 0:
        return atom
    place = int(sequence.place[atom])
    if place < 0:
        return int(sequence.atoms[0 if by > 0 else -1])
    return int(sequence.atoms[(place + by) % len(sequence.atoms)])


@derived
def top_items(atlas: Atlas) -> NDArray[np.int32]:
    """The items of every atom's first exemplars, int32 [M, PREVIEW]; -1 where there are fewer.

    One narrow read of two columns, so that a card of another atom costs nothing more.
    """
    pairs = exemplar_pairs(atlas)
    first = pairs[pairs["rank"] < PREVIEW]
    items = np.full((atlas.n_atoms, PREVIEW), -1, np.int32)
    items[first["atom"].to_numpy(), first["rank"].to_numpy()] = first["item"].to_numpy()
    return items


@derived
def top_positions(atlas: Atlas) -> NDArray[np.int32]:
    """Where every atom's first exemplars reach their value, int32 [M, PREVIEW]; -1 where there are fewer."""
    pairs = exemplar_pairs(atlas)
    first = pairs[pairs["rank"] < PREVIEW]
    positions = np.full((atlas.n_atoms, PREVIEW), -1, np.int32)
    positions[first["atom"].to_numpy(), first["rank"].to_numpy()] = first["position"].to_numpy()
    return positions


class Found(NamedTuple):
    """One atom that matches: why (``label`` or ``captions``), and in how many of its top exemplars the words stand."""

    atom: int
    reason: str
    exemplars: int


def find(atlas: Atlas, words: str, limit: int | None = None) -> list[Found]:
    """Atoms whose label or candidates hold all the words (those that are called exactly so first, then the more frequent),
    then atoms whose top exemplars' captions or labels do.

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
    found = [Found(atom, "label", int(counts[atom])) for atom in by_label]
    found += [Found(atom, "captions", int(counts[atom])) for atom in by_caption if atom not in named]
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


@derived
def exemplar_pairs(atlas: Atlas) -> pd.DataFrame:
    """(atom, rank, item, position) of every top exemplar."""
    columns = pq.read_table(atlas.path / "exemplars.parquet", columns=["atom", "kind", "rank", "item", "position"])
    top = columns.filter(pc.equal(columns.column("kind"), "top")).drop_columns("kind")
    frame: pd.DataFrame = top.to_pandas()
    return frame


@derived(most=512)
def exemplars(atlas: Atlas, atom: int) -> pd.DataFrame:
    """``atlas.exemplars(atom)``, kept for the atoms shown last: a page asks once, and then each of its heat maps."""
    return atlas.exemplars(atom)


@derived
def names(atlas: Atlas) -> list[str]:
    """What every atom is called: its label, else its top label, else nothing.

    The classes of texts say what a text is about, not what a token of it is: there an atom without a label has no name.
    """
    table = atlas.atoms
    if atlas.is_text:
        return [str(label) for label in table["label"]]
    return [label or top for label, top in zip(table["label"], table["top_label"], strict=True)]
