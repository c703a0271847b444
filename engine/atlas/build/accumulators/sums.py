"""The accumulators that are plain sums: counts of tokens, counts by label, and moments of the item embeddings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Counts(NamedTuple):
    """How often and how strongly every atom fires.

    Attributes
    ----------
    firing, item_count : int64 [M]
        Tokens and items on which the atom fires.
    total : float64 [M]
        Sum of its activations over tokens, in code units.
    maximum : float32 [M]
        Largest activation, in code units; -inf when it never fired.
    histogram : int64 [M, B]
        Tokens whose activation lies in each bin; the outer bins also take what lies outside.
    """

    firing: NDArray[np.int64]
    item_count: NDArray[np.int64]
    total: NDArray[np.float64]
    maximum: NDArray[np.float32]
    histogram: NDArray[np.int64]

    @classmethod
    def zero(cls, n_atoms: int, n_bins: int) -> Counts:
        """Counts of ``n_atoms`` atoms that never fired."""
        return cls(
            np.zeros(n_atoms, np.int64),
            np.zeros(n_atoms, np.int64),
            np.zeros(n_atoms, np.float64),
            np.full(n_atoms, -np.inf, np.float32),
            np.zeros((n_atoms, n_bins), np.int64),
        )


class LabelCounts(NamedTuple):
    """How often every atom fires on items of each counted label.

    Attributes
    ----------
    tokens : int64 [M, L]
        Tokens of items with the label on which the atom fires.
    items : int32 [M, L]
        Items with the label on which it fires.
    """

    tokens: NDArray[np.int64]
    items: NDArray[np.int32]

    @classmethod
    def zero(cls, n_atoms: int, n_labels: int) -> LabelCounts:
        """Counts of ``n_atoms`` atoms that never fired."""
        return cls(np.zeros((n_atoms, n_labels), np.int64), np.zeros((n_atoms, n_labels), np.int32))


class Moments(NamedTuple):
    """Sums over the items on which each atom fires, from which its monosemanticity is computed.

    a is the atom's largest activation in the item, not below 0; e is the item's embedding.

    Attributes
    ----------
    mixed : float64 [M, e]
        Sum of a e.
    weight, squares : float64 [M]
        Sums of a and of a^2.
    """

    mixed: NDArray[np.float64]
    weight: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def zero(cls, n_atoms: int, width: int) -> Moments:
        """Sums of ``n_atoms`` atoms that never fired, for embeddings of ``width`` numbers."""
        return cls(np.zeros((n_atoms, width)), np.zeros(n_atoms), np.zeros(n_atoms))
