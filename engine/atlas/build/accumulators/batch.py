"""The input of the accumulators: the codes of some whole items, and the data of these items."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class ItemBatch(NamedTuple):
    """Whole items that follow each other, with the codes of their tokens.

    Attributes
    ----------
    crow : int64 [tokens + 1]
        Where the codes of each token begin and end; tokens stand item by item and position by position.
    col : int32 [entries]
        Atoms that fire, ascending inside a token.
    val : float32 [entries]
        Their activations, in code units.
    first_item : int
        Row of the first item among all items of the store.
    n_positions : int
        Tokens of an item.
    labels : int32 [items]
        Number of each item's label, or -1 for none.
    embeddings : float32 [items, e]
        Embedding of each item, of length 1.
    """

    crow: NDArray[np.int64]
    col: NDArray[np.int32]
    val: NDArray[np.float32]
    first_item: int
    n_positions: int
    labels: NDArray[np.int32]
    embeddings: NDArray[np.float32]


class Scratch(NamedTuple):
    """Working memory of the loop over one item, int64 [M] each; only the atoms that fire in the item are looked at.

    Attributes
    ----------
    touched
        The atoms that fire in the item, in the order in which they are met; the first ones count.
    best
        Entry of the batch that holds the atom's largest activation in the item, the first among equals.
    head, tail
        The atom's first and last entry in the item.
    size
        Entries of the atom in the item.
    seen
        The last item in which the atom was met, -1 for none.
    """

    touched: Any
    best: Any
    head: Any
    tail: Any
    size: Any
    seen: Any

    @classmethod
    def empty(cls, n_atoms: int) -> Scratch:
        """Working memory for ``n_atoms`` atoms."""
        return cls(*np.empty((6, n_atoms), np.int64))
