"""Top-k of every row on the CPU, compiled by numba: the group maxima of :mod:`kernels.numba_rows` once more.

A value that k group maxima reach is reached by k entries of the row, so it is a lower bound of the k-th largest; only
the candidates above it are sorted out. Of equal scores at the edge, the lowest atoms win.

Cost: as the sparsemax support, plus about 12 counts over the G maxima and a selection among some 2 k candidates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.compiled import compiled, over_rows
from kernels.numba_rows import gather_above, group_maxima, n_groups
from kernels.support import Support

_HALVINGS = 12  # steps of the search for a bound; each halves the spread of the maxima it lies in


def topk_support(scores: Tensor, k: int) -> Support:
    """The k largest entries of every row of float32 ``scores`` [N, M] on the CPU; see :mod:`kernels.topk`."""
    n_rows, n_atoms = scores.shape
    matrix = scores.contiguous().numpy()
    col, z = np.empty((n_rows, k), np.int32), np.empty((n_rows, k), np.float32)
    groups = n_groups(n_atoms)
    bad = over_rows(lambda start, stop: _topk_rows(matrix, k, groups, col, z, start, stop), n_rows)
    for row in bad:
        if row >= 0:
            raise ValueError(f"Row {row} of the scores has a NaN or infinite top-k score; check what produced it.")
    value = torch.from_numpy(z)
    tau = value.amin(dim=1)
    crow = torch.arange(n_rows + 1) * k
    return Support(
        crow, torch.from_numpy(col).flatten(), value.flatten(), (value - tau[:, None]).flatten(), tau, n_atoms
    )


@compiled()
def _reached_by(maxima: Any, k: int) -> Any:
    """A value that at least k of the maxima reach, near the k-th largest; -inf when there are fewer than k."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for j in range(maxima.shape[0]):
        low = maxima[j] if maxima[j] < low else low
        high = maxima[j] if maxima[j] > high else high
    if maxima.shape[0] < k or not (np.isfinite(low) and np.isfinite(high)):
        return np.float32(-np.inf)
    for _ in range(_HALVINGS):
        middle = np.float32(0.5) * low + np.float32(0.5) * high
        count = 0
        for j in range(maxima.shape[0]):
            count += 1 if maxima[j] >= middle else 0
        if count >= k:
            low = middle
        else:
            high = middle
    return low


@compiled()
def _topk_rows(scores: Any, k: int, groups: int, col: Any, z: Any, start: int, stop: int) -> int:
    n_atoms = scores.shape[1]
    maxima = np.empty(groups, np.float32)
    some_col = np.empty(n_atoms, np.int32)
    some_z = np.empty(n_atoms, np.float32)
    for i in range(start, stop):
        row = scores[i]
        group_maxima(row, maxima)
        bound = np.nextafter(_reached_by(maxima, k), np.float32(-np.inf))
        found = gather_above(row, bound, some_col, some_z)
        if found < k:  # entries of -inf are no candidates
            return i
        least = np.partition(some_z[:found], found - k)[found - k]
        above = 0
        for j in range(found):
            above += 1 if some_z[j] > least else 0
            if not np.isfinite(some_z[j]):
                return i
        ties = k - above
        n = 0
        for j in range(found):
            tie = some_z[j] == least and ties > 0
            if some_z[j] > least or tie:
                ties -= 1 if tie else 0
                col[i, n] = some_col[j]
                z[i, n] = some_z[j]
                n += 1
    return -1
