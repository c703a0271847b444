"""Scores above a threshold on the CPU, compiled by numba: one read of the scores, against three and a mask in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.compiled import compiled, copy_prefix, parallel_over_rows
from kernels.rows import Support

_BLOCK = 64  # scores looked at together: four AVX-512 registers
_ROOM = 64  # entries a row to begin with


def threshold_support(scores: Tensor, threshold: Tensor) -> Support:
    """See :func:`kernels.threshold.threshold_support`; float32 [N, M] and [M]."""
    n_rows, n_atoms = scores.shape
    matrix, limits = scores.contiguous().numpy(), threshold.contiguous().numpy()
    parts = parallel_over_rows(lambda start, stop: _rows_above(matrix, limits, start, stop), n_rows)
    for *_, bad_row in parts:
        if bad_row >= 0:
            raise ValueError(f"Row {bad_row} of the scores holds NaN or +inf; check what produced it.")
    crow = torch.zeros(n_rows + 1, dtype=torch.int64)
    if not parts:
        nothing = torch.empty(0)
        return Support(crow, torch.empty(0, dtype=torch.int32), nothing, nothing, nothing, n_atoms)
    col, z, size = (torch.from_numpy(np.concatenate(column)) for column in list(zip(*parts, strict=True))[:3])
    torch.cumsum(size, 0, out=crow[1:])
    return Support(crow, col, z, z - threshold[col.long()], torch.zeros(n_rows), n_atoms)


@compiled()
def _rows_above(scores: Any, limits: Any, start: int, stop: int) -> Any:
    n_atoms = scores.shape[1]
    whole = n_atoms // _BLOCK * _BLOCK
    room = (stop - start) * _ROOM + n_atoms
    col = np.empty(room, np.int32)
    z = np.empty(room, np.float32)
    size = np.zeros(stop - start, np.int64)
    n = 0
    for i in range(start, stop):
        row = scores[i]
        before = n
        if n + n_atoms > room:
            room = 2 * room
            col = copy_prefix(col, n, np.empty(room, np.int32))
            z = copy_prefix(z, n, np.empty(room, np.float32))
        for first in range(0, whole, _BLOCK):
            block, bounds = row[first : first + _BLOCK], limits[first : first + _BLOCK]
            hits = 0
            for j in range(_BLOCK):  # NaN counts as a hit
                hits += 0 if block[j] <= bounds[j] else 1
            if hits:
                for j in range(_BLOCK):
                    if not (block[j] <= bounds[j]):
                        col[n] = first + j
                        z[n] = block[j]
                        n += 1
        for j in range(whole, n_atoms):
            if not (row[j] <= limits[j]):
                col[n] = j
                z[n] = row[j]
                n += 1
        for entry in range(before, n):
            if not np.isfinite(z[entry]):
                return col[:0], z[:0], size, i
        size[i - start] = n - before
    return col[:n], z[:n], size, -1
