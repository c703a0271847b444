"""Exact sparsemax rows on a GPU with one read of the scores: group maxima, the groups that matter, the threshold.

Source: the group-maxima bound of :mod:`kernels.numba_rows`; Newton on the threshold after Michelot (1986).

Three kernels, each reading what the one before it stored:

=====================  ==========================================  ==========================================
kernel                 reads                                       writes
=====================  ==========================================  ==========================================
``group_maxima``       scores float32 [N, M], once                 maxima float32 [N, G], G = ceil(M / 32)
``active_groups``      maxima                                      group ids int32 [N, CAP], how many, status
``thresholds``         32 scores of every active group             tau, its float64 parts, support size
=====================  ==========================================  ==========================================

Cost: N M reads (the bandwidth of the machine), N G written and read (1/16 of that), and about 128 bytes for every
active group, of which there are about as many as the support has entries. A row with more than CAP active groups is
left with status ``OVERFLOW`` to :mod:`kernels.gpu.row_support_fallback`.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

GROUP = 32  # one 128-byte line of float32
CAP = 128  # active groups a row: a tile of 128 x 32 scores in registers
OK, OVERFLOW, BAD = 0, 1, 2  # status of a row


@triton.jit
def group_maxima_kernel(
    scores, maxima, row_stride, n_atoms, n_groups, GROUP: tl.constexpr, GROUPS_A_TILE: tl.constexpr
):
    """Maxima of GROUPS_A_TILE groups of consecutive atoms of one row. NaN becomes +inf, which no row may hold."""
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * GROUPS_A_TILE + tl.arange(0, GROUPS_A_TILE)
    atom = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    z = tl.load(scores + row * row_stride + atom, mask=atom < n_atoms, other=-float("inf"))
    z = tl.where(z == z, z, float("inf"))
    tl.store(maxima + row * n_groups + group, tl.max(z, axis=1), mask=group < n_groups)


@triton.jit
def active_groups_kernel(
    maxima,
    ids,
    n_active,
    status,
    n_groups,
    GROUPS: tl.constexpr,
    CAP: tl.constexpr,
    OVERFLOW: tl.constexpr,
    BAD: tl.constexpr,
):
    """The groups of one row whose maximum exceeds the sparsemax threshold of all its maxima, ascending.

    That threshold never exceeds the row's, so every entry of the support lies in one of these groups. GROUPS is the
    power of two that holds ``n_groups``.
    """
    row = tl.program_id(0).to(tl.int64)
    group = tl.arange(0, GROUPS)
    z = tl.load(maxima + row * n_groups + group, mask=group < n_groups, other=-float("inf"))
    top = tl.max(z, axis=0)
    bad = (top == float("inf")) | (top == -float("inf"))
    # Differences with an infinite maximum would be NaN and the loop below might not end.
    shifted = tl.where(bad, 0.0, z - tl.where(bad, 0.0, top)).to(tl.float64)
    threshold = tl.full([], -1.0, tl.float64)
    before = tl.sum((shifted > threshold).to(tl.int32), axis=0) + 1
    size = before - 1
    while size < before:
        total = tl.sum(tl.where(shifted > threshold, shifted, 0.0), axis=0)
        threshold = tl.maximum(threshold, (total - 1.0) / size)
        before = size
        size = tl.sum((shifted > threshold).to(tl.int32), axis=0)
    active = (shifted > threshold) & (group < n_groups)
    place = tl.cumsum(active.to(tl.int32), axis=0) - 1
    tl.store(ids + row * CAP + place, group, mask=active & (place < CAP))
    found = tl.sum(active.to(tl.int32), axis=0)
    tl.store(n_active + row, found)
    tl.store(status + row, tl.where(bad, BAD, tl.where(found > CAP, OVERFLOW, 0)))


@triton.jit
def thresholds_kernel(
    scores,
    ids,
    n_active,
    status,
    top_out,
    threshold_out,
    size_out,
    row_stride,
    n_atoms,
    GROUP: tl.constexpr,
    CAP: tl.constexpr,
):
    """Newton on the scores of the active groups of one row, all in registers: top, threshold - top, support size."""
    row = tl.program_id(0).to(tl.int64)
    if tl.load(status + row) == 0:
        slot = tl.arange(0, CAP)
        used = slot < tl.load(n_active + row)
        group = tl.load(ids + row * CAP + slot, mask=used, other=0)
        atom = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
        z = tl.load(scores + row * row_stride + atom, mask=used[:, None] & (atom < n_atoms), other=-float("inf"))
        top = tl.max(tl.max(z, axis=1), axis=0)
        shifted = (z - top).to(tl.float64)
        threshold = tl.full([], -1.0, tl.float64)
        size = tl.sum(tl.sum((shifted > threshold).to(tl.int32), axis=1), axis=0)
        before = size + 1
        while size < before:
            total = tl.sum(tl.sum(tl.where(shifted > threshold, shifted, 0.0), axis=1), axis=0)
            threshold = tl.maximum(threshold, (total - 1.0) / size)
            before = size
            size = tl.sum(tl.sum((shifted > threshold).to(tl.int32), axis=1), axis=0)
        tl.store(top_out + row, top)
        tl.store(threshold_out + row, threshold)
        tl.store(size_out + row, size)
