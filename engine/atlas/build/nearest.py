"""The nearest rows of a matrix of directions, and the atoms that fire on the same tokens: exact, in compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engine.progress import Progress

# Entries of one block of cosines: 64 MB as float32.
_BLOCK_ENTRIES = 1 << 24


class Nearest(NamedTuple):
    """The k nearest others of each of n rows, nearest first.

    Attributes
    ----------
    row : int32 [n, k]
        Numbers of the other rows.
    cosine : float32 [n, k]
        Cosines, -1 to 1.
    size : int32 [n]
        How many of the columns are filled.
    """

    row: NDArray[np.int32]
    cosine: NDArray[np.float32]
    size: NDArray[np.int32]

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Which columns hold a neighbour, bool [n, k]."""
        filled: NDArray[np.bool_] = np.arange(self.row.shape[1])[None, :] < self.size[:, None]
        return filled


@torch.no_grad()
def nearest_directions(directions: torch.Tensor, count: int, progress: Progress) -> Nearest:
    """The ``count`` nearest other rows of every row of ``directions`` [n, d] by cosine, exactly.

    Ties go to the smaller row; with fewer than ``count`` other rows, k = n - 1.
    """
    n = len(directions)
    k = max(min(count, n - 1), 0)
    unit = torch.nn.functional.normalize(directions.float(), dim=1)
    index, cosine = np.zeros((n, k), np.int32), np.zeros((n, k), np.float32)
    step = max(_BLOCK_ENTRIES // max(n, 1), 1)
    progress.start("nearest atoms by decoder", n, "atoms")
    for start in range(0, n if k else 0, step):
        rows = unit[start : start + step]
        block = rows @ unit.T
        block[torch.arange(len(rows)), torch.arange(start, start + len(rows))] = -torch.inf
        values, found = block.topk(k, dim=1)
        order = np.lexsort((found.cpu().numpy(), -values.cpu().numpy()))
        index[start : start + step] = np.take_along_axis(found.cpu().numpy(), order, 1)
        cosine[start : start + step] = np.take_along_axis(values.cpu().numpy(), order, 1)
        progress.advance(len(rows))
    progress.finish()
    return Nearest(index, np.clip(cosine, -1, 1), np.full(n, k, np.int32))


def nearest_firing(crow: NDArray[np.int64], atoms: NDArray[np.int32], n_atoms: int, count: int) -> Nearest:
    """The ``count`` atoms whose binary firing vectors over the sampled tokens are nearest by cosine.

    cosine(a, b) = tokens on which both fire / sqrt(tokens of a * tokens of b); pairs that never fire together are left out.

    Parameters
    ----------
    crow : int64 [T + 1], atoms : int32 [entries]
        Atoms that fire on each sampled token.

    Returns
    -------
    Nearest
        Of all M atoms, ``count`` columns; ties go to the smaller atom.
    """
    firing = np.bincount(atoms, minlength=n_atoms).astype(np.int64)
    token = np.repeat(np.arange(len(crow) - 1), np.diff(crow))
    by_atom = token[np.argsort(atoms, kind="stable")]
    start = np.concatenate([[0], np.cumsum(firing)])
    return Nearest(*_nearest_firing(crow, atoms, start, by_atom, firing, count))


@njit(cache=True)
def _nearest_firing(crow: Any, atoms: Any, start: Any, by_atom: Any, firing: Any, count: int) -> Any:
    n_atoms = len(firing)
    index = np.zeros((n_atoms, count), np.int32)
    cosine = np.zeros((n_atoms, count), np.float32)
    size = np.zeros(n_atoms, np.int32)
    together = np.zeros(n_atoms, np.int64)
    touched = np.empty(n_atoms, np.int32)
    for atom in range(n_atoms):
        n_touched = 0
        for token in by_atom[start[atom] : start[atom + 1]]:
            for other in atoms[crow[token] : crow[token + 1]]:
                if together[other] == 0:
                    touched[n_touched] = other
                    n_touched += 1
                together[other] += 1
        best, values, n = index[atom], cosine[atom], 0
        for other in touched[:n_touched]:
            value = np.float32(together[other] / np.sqrt(np.float64(firing[atom]) * np.float64(firing[other])))
            together[other] = 0
            if other == atom:
                continue
            place = n
            while place > 0 and (value > values[place - 1] or (value == values[place - 1] and other < best[place - 1])):
                place -= 1
            if place == count:
                continue
            n = min(n + 1, count)
            for i in range(n - 1, place, -1):
                best[i], values[i] = best[i - 1], values[i - 1]
            best[place], values[place] = other, value
        size[atom] = n
    return index, cosine, size
