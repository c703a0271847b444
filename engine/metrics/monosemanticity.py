"""Monosemanticity of all atoms at once: do the items an atom fires on look alike to the model?

The score of Pach et al., "Sparse Autoencoders Learn Monosemantic Features in Vision-Language Models", arXiv 2504.02821,
weights every pair of items by both activations. Their pair loop costs items^2 an atom; this form costs one product.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


def monosemanticity(mixed: ArrayLike, total: ArrayLike, squares: ArrayLike) -> NDArray[np.float64]:
    """Activation-weighted mean pairwise cosine of the embeddings of the items an atom fires on.

    With a_i >= 0 the atom's activation in item i (its largest over the item's tokens) and e_i the item's unit embedding:

        sum_{i != j} a_i a_j <e_i, e_j> / sum_{i != j} a_i a_j
            = (||sum_i a_i e_i||^2 - sum_i a_i^2) / ((sum_i a_i)^2 - sum_i a_i^2)

    Parameters
    ----------
    mixed : [M, e]
        sum_i a_i e_i of every atom, that is A^T E.
    total, squares : [M]
        sum_i a_i and sum_i a_i^2.

    Returns
    -------
    float64 [M]
        In [-1, 1]; NaN for an atom that fires on fewer than two items.
    """
    mixed, total, squares = (np.asarray(part, dtype=np.float64) for part in (mixed, total, squares))
    pairs = total**2 - squares
    # One item alone leaves rounding error where the exact value is 0.
    enough = pairs > 1e-12 * np.maximum(total**2, np.finfo(np.float64).tiny)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = ((mixed**2).sum(1) - squares) / pairs
    return np.where(enough, score, np.nan)


class MonosemanticitySums:
    """The three sums of ``monosemanticity`` over any number of batches of items; memory grows with M only."""

    def __init__(self, n_atoms: int, width: int) -> None:
        self.mixed = torch.zeros(n_atoms, width, dtype=torch.float64)
        self.total = torch.zeros(n_atoms, dtype=torch.float64)
        self.squares = torch.zeros(n_atoms, dtype=torch.float64)

    def add(self, atom: Tensor, item: Tensor, value: Tensor, embeddings: Tensor) -> None:
        """Add items, each (atom, item) pair once over the whole run.

        Parameters
        ----------
        atom, item : int64 [n]
            The pairs; ``item`` is a row of ``embeddings``.
        value : [n]
            Largest activation of the atom in the item. Negative ones count as 0.
        embeddings : [items, e]
            Unit rows.
        """
        value = value.double().clamp_min(0)
        weights = torch.sparse_coo_tensor(
            torch.stack([atom, item]), value, (len(self.total), len(embeddings)), check_invariants=False
        )
        self.mixed += torch.sparse.mm(weights, embeddings.double())
        self.total.index_add_(0, atom, value)
        self.squares.index_add_(0, atom, value.square())

    def score(self) -> NDArray[np.float64]:
        """``monosemanticity`` of every atom, float64 [M]."""
        return monosemanticity(self.mixed.numpy(), self.total.numpy(), self.squares.numpy())
