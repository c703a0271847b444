"""Top-n classification: how much of a class do its n most used atoms carry?

Source: arXiv 2604.14925, section 4, and its published code. For every class the atoms are ranked by how often they fire in
its pictures. Then a picture is reconstructed from the top n atoms of *its own true class* only ("on-n"), or from all others
("off-n"), every token of it, and the rest of the model classifies the result. So on-n asks whether a class's concepts sit in
a few atoms, and off-n whether they sit nowhere else. Because the true class chooses the atoms, on-n is no classifier: it can
beat the plain splice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.progress import Progress, SilentProgress
from kernels.codes import SparseCodes

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.sae import SparseAutoencoder

LEVELS: tuple[int | None, ...] = (1, 5, 10, 50, None)
"""The n of the paper; None stands for all atoms."""

THRESHOLD = 0.2
"""An atom counts for a token when its activation exceeds this, as in the published code."""

ON_OFF = ("on", "off")
BATCH_ITEMS = 16


def level_name(level: int | None) -> str:
    """``"5"`` for 5, ``"all"`` for None."""
    return "all" if level is None else str(level)


class ClassAtoms:
    """The most used atoms of every class, best first.

    Parameters
    ----------
    counts : int64 [C, M]
        Tokens of each class on which each atom fired above the threshold.
    most : int
        How many atoms a class keeps. Ties go to the smaller atom; an atom that was never counted has no rank.
    """

    def __init__(self, counts: Tensor, most: int) -> None:
        self.n_atoms = counts.shape[1]
        keys, ranks = [], []
        for label, row in enumerate(counts.cpu()):
            order = torch.sort(row, descending=True, stable=True).indices[:most]
            order = order[row[order] > 0]
            keys.append(label * self.n_atoms + order)
            ranks.append(torch.arange(len(order)))
        key, rank = torch.cat(keys), torch.cat(ranks)
        by_key = torch.argsort(key)
        self._keys, self._ranks, self.most = key[by_key], rank[by_key], most

    def rank(self, codes: SparseCodes, classes: Tensor) -> Tensor:
        """Rank (from 0) of every entry's atom in the class of its token, int64 [nnz]; ``most`` where it has none.

        ``classes`` int64 [N] is the class of every token.
        """
        if not len(self._keys):
            return torch.full((codes.nnz,), self.most, device=codes.col.device)
        wanted = classes[codes.row] * self.n_atoms + codes.col.long()
        keys = self._keys.to(wanted.device)
        place = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        return torch.where(keys[place] == wanted, self._ranks.to(wanted.device)[place], self.most)

    def edit(self, codes: SparseCodes, classes: Tensor, side: str, level: int | None) -> SparseCodes:
        """The codes with only the top ``level`` atoms of each token's class ("on"), or without them ("off").

        With ``level`` None, "on" is the codes as they are and "off" is empty.
        """
        if level is None:
            return codes if side == "on" else codes.kept(torch.zeros_like(codes.col, dtype=torch.bool))
        inside = self.rank(codes, classes) < level
        return codes.kept(inside if side == "on" else ~inside)

    def of(self, label: int) -> list[int]:
        """Atoms of class ``label``, best first."""
        inside = self._keys // self.n_atoms == label
        return (self._keys[inside] % self.n_atoms)[self._ranks[inside].argsort()].tolist()


@torch.no_grad()
def rank_atoms(
    sae: SparseAutoencoder,
    store: ActivationStore,
    rows: NDArray[np.int64],
    classes: NDArray[np.int64],
    n_classes: int,
    threshold: float = THRESHOLD,
    levels: Sequence[int | None] = LEVELS,
    progress: Progress | None = None,
) -> ClassAtoms:
    """Rank the atoms of every class by the number of its tokens with an activation above ``threshold``.

    Parameters
    ----------
    rows, classes : int64 [n]
        Items of ``store`` to count on (the training split), and their classes; -1 leaves an item out.

    Memory: one int32 for every class and atom.
    """
    progress = progress or SilentProgress()
    rows, classes = rows[classes >= 0], classes[classes >= 0]
    device = next(sae.parameters()).device
    counts = torch.zeros(n_classes * sae.config.n_atoms, dtype=torch.int32, device=device)
    progress.start("rank the atoms of every class", len(rows))
    for start in range(0, len(rows), BATCH_ITEMS):
        chosen = rows[start : start + BATCH_ITEMS]
        codes = sae.encode(torch.cat([store.item(int(row)) for row in chosen]).to(device))
        label = torch.from_numpy(classes[start : start + BATCH_ITEMS]).to(device).repeat_interleave(store.n_positions)
        fired = codes.val > threshold
        key = label[codes.row[fired]] * sae.config.n_atoms + codes.col[fired].long()
        counts.index_add_(0, key, torch.ones_like(key, dtype=torch.int32))
        progress.advance(len(chosen))
    progress.finish()
    most = max((level for level in levels if level is not None), default=1)
    return ClassAtoms(counts.view(n_classes, -1), min(most, sae.config.n_atoms))
