"""The orders in which a person steps through atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.derived import derived

if TYPE_CHECKING:
    from engine.atlas import Atlas


class SortKey(NamedTuple):
    """One way to order atoms: its name on the page, the column of ``atlas.atoms`` (None: the id), and its direction."""

    words: str
    column: str | None
    largest_first: bool


ORDERS = {
    "id": SortKey("by id", None, False),
    "frequent": SortKey("most frequent first", "firing_count", True),
    "rarest": SortKey("rarest first", "firing_count", False),
    "monosemantic": SortKey("most monosemantic first", "monosemanticity", True),
    "one-label": SortKey("lowest label entropy first", "label_entropy", False),
    "mixed-labels": SortKey("highest label entropy first", "label_entropy", True),
    "strongest": SortKey("largest activation first", "max_activation", True),
    "similar": SortKey("least diverse first", "diversity", False),
}
"""The orders by the key that addresses name them by. Ties and NaN (dead atoms) fall back to the id."""


class AtomOrder(NamedTuple):
    """Atoms in stepping order [K] and the place of every atom in it [M], -1 for atoms left out."""

    atoms: NDArray[np.int64]
    place: NDArray[np.int64]


@derived
def order(atlas: Atlas, by: str, statuses: tuple[str, ...]) -> AtomOrder:
    """Atoms whose status is among ``statuses``, ordered by a key of :data:`ORDERS`."""
    table = atlas.atoms
    kept = np.flatnonzero(table["status"].isin(list(statuses)).to_numpy())
    key = ORDERS[by]
    if key.column is not None:
        values = table[key.column].to_numpy(float)[kept]
        values = -values if key.largest_first else values
        kept = kept[np.argsort(np.where(np.isnan(values), np.inf, values), kind="stable")]
    place = np.full(len(table), -1, np.int64)
    place[kept] = np.arange(len(kept))
    return AtomOrder(kept, place)


def step(sequence: AtomOrder, atom: int, by: int) -> int:
    """The atom ``by`` places further in the order, round the ends; from an atom outside it, the first or the last."""
    if len(sequence.atoms) == 0:
        return atom
    place = int(sequence.place[atom])
    if place < 0:
        return int(sequence.atoms[0 if by > 0 else -1])
    return int(sequence.atoms[(place + by) % len(sequence.atoms)])
