"""Sparsemax support of a score matrix on a GPU: the order in which the kernels run."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from kernels.gpu.csr_pack import pack_active_kernel, pack_streaming_kernel
from kernels.gpu.row_support import (
    BAD,
    CAP,
    GROUP,
    OVERFLOW,
    active_groups_kernel,
    group_maxima_kernel,
    thresholds_kernel,
)
from kernels.gpu.row_support_fallback import fallback_kernel
from kernels.rows import Support, explain_bad_row

_GROUPS_A_TILE = 64  # 2,048 scores a program of the maxima: enough loads in flight to fill the memory bus
_BLOCK = 2048  # scores a tile of the streaming kernels


def support(scores: Tensor) -> Support:
    """Sparsemax support of float32 ``scores`` [N, M]; see :func:`kernels.sparsemax_support`.

    The host waits for the device once: the number of non-zeros decides the size of the arrays, and the check for rows
    without a support comes with it.
    """
    n_rows, n_atoms = scores.shape
    device = scores.device
    scores = scores if scores.stride(1) == 1 else scores.contiguous()
    crow = torch.zeros(n_rows + 1, dtype=torch.int64, device=device)
    if n_rows == 0:
        empty = torch.empty(0, device=device)
        return Support(crow, torch.empty(0, dtype=torch.int32, device=device), empty, empty, empty, n_atoms)
    n_groups = triton.cdiv(n_atoms, GROUP)
    shape = (scores.stride(0), n_atoms)
    streaming = {"TILES": triton.cdiv(n_atoms, _BLOCK), "BLOCK": _BLOCK, "OVERFLOW": OVERFLOW}

    maxima = torch.empty(n_rows, n_groups, device=device)
    tiles = triton.cdiv(n_groups, _GROUPS_A_TILE)
    group_maxima_kernel[(n_rows, tiles)](scores, maxima, *shape, n_groups, GROUP, _GROUPS_A_TILE)

    ids = torch.empty(n_rows, CAP, dtype=torch.int32, device=device)
    n_active, status, size = torch.zeros(3, n_rows, dtype=torch.int32, device=device)
    groups = triton.next_power_of_2(n_groups)
    active_groups_kernel[(n_rows,)](maxima, ids, n_active, status, n_groups, groups, CAP, OVERFLOW, BAD)

    top = torch.empty(n_rows, device=device)
    threshold = torch.empty(n_rows, dtype=torch.float64, device=device)
    found = (top, threshold, size)
    thresholds_kernel[(n_rows,)](scores, ids, n_active, status, *found, *shape, GROUP, CAP)
    fallback_kernel[(n_rows,)](scores, status, *found, *shape, **streaming)

    torch.cumsum(size, 0, out=crow[1:])
    nnz, worst, overflowed = torch.stack([crow[-1], status.max(), (status == OVERFLOW).sum()]).tolist()
    if worst == BAD:
        row = int((status == BAD).nonzero()[0])
        raise explain_bad_row(row, scores[row])
    col = torch.empty(nnz, dtype=torch.int32, device=device)
    z, p = torch.empty(2, nnz, device=device)
    out = (top, threshold, crow, col, z, p)
    pack_active_kernel[(n_rows,)](scores, ids, n_active, status, *out, *shape, GROUP, CAP)
    pack_streaming_kernel[(n_rows,)](scores, status, *out, *shape, **streaming)
    return Support(crow, col, z, p, (top + threshold).float(), n_atoms, fallback_rows=overflowed)
