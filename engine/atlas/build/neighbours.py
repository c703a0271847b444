"""Nearest atoms: exact by decoder direction (blocked matrix products), and by firing on the same sampled tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from engine.atlas.build.grouping import place_in_group

if TYPE_CHECKING:
    from engine.progress import Progress

# Entries of one block of cosines: 64 MB as float32.
_BLOCK_ENTRIES = 1 << 24


@torch.no_grad()
def nearest_directions(
    directions: torch.Tensor, count: int, progress: Progress
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The ``count`` nearest other rows of every row of ``directions`` [n, d] by cosine, exactly.

    Returns
    -------
    int32 [n, k], float32 [n, k]
        Rows and cosines in [-1, 1], nearest first, ties to the smaller row; k = min(count, n - 1).
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
    return index, np.clip(cosine, -1, 1)


def nearest_firing(
    crow: NDArray[np.int64], atoms: NDArray[np.int32], n_atoms: int, count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """The ``count`` atoms whose binary firing vectors over the sampled tokens are nearest by cosine.

    cosine(a, b) = tokens on which both fire / sqrt(tokens of a * tokens of b); pairs that never fire together are left out.

    Parameters
    ----------
    crow : int64 [T + 1], atoms : int32
        Atoms that fire on each sampled token.

    Returns
    -------
    int32 [M, count], float32 [M, count], int32 [M]
        Atoms and cosines, nearest first (ties to the smaller atom), and how many there are.
    """
    firing = np.bincount(atoms, minlength=n_atoms).astype(np.int64)
    token = np.repeat(np.arange(len(crow) - 1), np.diff(crow))
    by_atom = token[np.argsort(atoms, kind="stable")]
    start = np.concatenate([[0], np.cumsum(firing)])
    found: tuple[Any, Any, Any] = _nearest_firing(crow, atoms, start, by_atom, firing, count)
    return found


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


def neighbour_columns(
    live: NDArray[np.int64],
    decoder: tuple[NDArray[np.int32], NDArray[np.float32]],
    firing: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]],
    count: int,
) -> dict[str, Any]:
    """Columns of ``neighbours.parquet``.

    Parameters
    ----------
    live : int64 [n]
        Atoms that fire; row i of ``decoder`` belongs to ``live[i]``, and so do its indices.
    decoder, firing
        What ``nearest_directions`` and ``nearest_firing`` gave.
    count : int
        Neighbours of each kind that are kept.
    """
    index, cosine = (part[:, :count] for part in decoder)
    others, values, size = firing
    filled = np.arange(others.shape[1])[None, :] < size[:, None]
    atom = np.concatenate([np.repeat(live, index.shape[1]), np.nonzero(filled)[0]])
    kind = np.repeat([0, 1], [index.size, int(filled.sum())])
    other = np.concatenate([live[index.reshape(-1)], others[filled]])
    similarity = np.concatenate([cosine.reshape(-1), values[filled]])
    order = np.lexsort((other, -similarity, kind, atom))
    atom, kind, other, similarity = atom[order], kind[order], other[order], similarity[order]
    return {
        "atom": atom,
        "kind": np.array(["decoder", "coactivation"])[kind].tolist(),
        "rank": place_in_group(atom * 2 + kind).astype(np.int16),
        "other": other,
        "similarity": similarity,
    }
