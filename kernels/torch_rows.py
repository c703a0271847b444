"""Sparsemax support in plain torch operations: any device, no compiler. Used where numba and Triton are missing.

The method of :mod:`kernels.numba_rows`, for many rows at a time: a lower bound from group maxima, then only the groups
whose maximum passes it are looked into, then Newton in float64 on the entries found.

Cost: one read of the scores, plus G N reads a Newton step and 32 gathered reads for every group that passes. Rows are
taken in chunks that stay in cache; besides the results, the buffers of one chunk are all it allocates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.rows import Support, explain_bad_row

_GROUP = 32
_FEWEST_GROUPS = 256
_CHUNK = 2**22  # scores in a chunk: 16 MB


def support(scores: Tensor) -> Support:
    """Sparsemax support of float32 ``scores`` [N, M]; see :func:`kernels.sparsemax_support`."""
    n_rows, n_atoms = scores.shape
    step = max(1, _CHUNK // n_atoms)
    parts = [_chunk(scores[start : start + step], start) for start in range(0, max(n_rows, 1), step)]
    size, col, z, p, tau = (torch.cat(column) for column in zip(*parts, strict=True))
    crow = torch.zeros(n_rows + 1, dtype=torch.int64, device=scores.device)
    torch.cumsum(size, 0, out=crow[1:])
    return Support(crow, col, z, p, tau, n_atoms)


def _chunk(scores: Tensor, first_row: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    n_rows, n_atoms = scores.shape
    groups = min(n_atoms, max(-(-n_atoms // _GROUP), _FEWEST_GROUPS))
    maxima = group_maxima(scores, groups)
    top = maxima.amax(dim=1).double() if n_rows else scores.new_zeros(0, dtype=torch.float64)
    bad = (~top.isfinite()).nonzero()
    if bad.numel():
        first = int(bad[0])
        raise explain_bad_row(first_row + first, scores[first])

    # Group maxima give the bound, and say where candidates can be.
    maxima = (maxima.double() - top[:, None]) if n_rows else maxima.double()
    bound = lower_bound(maxima)
    row, group = (maxima > bound[:, None]).nonzero(as_tuple=True)

    # Group j holds atoms j, j + G, j + 2G, ...; those past the end repeat the group's first atom and are dropped.
    member = torch.arange(-(-n_atoms // groups), device=scores.device) * groups
    col = group[:, None] + member
    beyond = col >= n_atoms
    col = torch.where(beyond, group[:, None], col)
    shifted = scores[row[:, None], col].double() - top[row][:, None]
    inside = (shifted > bound[row][:, None]) & ~beyond
    row, col, shifted = row[:, None].expand_as(col)[inside], col[inside], shifted[inside]

    threshold = newton_threshold(shifted, row, n_rows, bound)
    inside = shifted > threshold[row]
    row, col, shifted = row[inside], col[inside], shifted[inside]
    order = torch.argsort(row * n_atoms + col)
    row, col, shifted = row[order], col[order], shifted[order]
    size = torch.bincount(row, minlength=n_rows)
    return (
        size,
        col.int(),
        scores[row, col],
        (shifted - threshold[row]).float(),
        (top + threshold).float(),
    )


def group_maxima(scores: Tensor, groups: int) -> Tensor:
    """Maximum of atoms j, j + G, j + 2G, ... for every group j: [n, G]. NaN goes through."""
    n_rows, n_atoms = scores.shape
    whole = n_atoms // groups * groups
    maxima = scores[:, :whole].view(n_rows, -1, groups).amax(dim=1) if n_rows else scores[:, :groups]
    rest = n_atoms - whole
    if rest:
        maxima[:, :rest] = torch.maximum(maxima[:, :rest], scores[:, whole:])
    return maxima


def lower_bound(shifted: Tensor) -> Tensor:
    """Sparsemax threshold of dense rows whose maximum is 0, by Newton from -1 upwards: float64 [n]."""
    threshold = shifted.new_full((shifted.shape[0],), -1.0)
    before = -1
    while True:
        inside = shifted > threshold[:, None]
        size = inside.sum(dim=1)
        if (total := int(size.sum())) == before:
            return threshold
        before = total
        above = torch.where(inside, shifted, 0.0).sum(dim=1)
        threshold = torch.maximum(threshold, (above - 1) / size)


def newton_threshold(shifted: Tensor, row: Tensor, n_rows: int, start: Tensor) -> Tensor:
    """Sparsemax threshold of every row of a ragged set, from a lower bound upwards: float64 [n].

    Every step keeps the entries above the threshold and takes the threshold of those; the sets shrink, and the steps
    end when none does.
    """
    threshold = start
    before = -1
    while True:
        inside = shifted > threshold[row]
        shifted, row = shifted[inside], row[inside]
        if shifted.numel() == before:
            return threshold
        before = shifted.numel()
        size = torch.bincount(row, minlength=n_rows)
        total = torch.zeros(n_rows, dtype=torch.float64, device=shifted.device).index_add_(0, row, shifted)
        threshold = torch.maximum(threshold, (total - 1) / size)
