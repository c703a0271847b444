"""The rows the quick path cannot hold: streaming Newton over the whole row, for a support of any size.

The first steps of a training have supports of hundreds to thousands. Source: Michelot (1986), as in
:mod:`kernels.gpu.row_support`.

Shapes: scores float32 [N, M]; top float32 [N], threshold float64 [N] and support size int32 [N] out, for rows whose
status is ``OVERFLOW``. Other rows end at once, so the host need not know which rows overflow.

Cost: one read of the row a Newton step, about 8 to 12 of them, mostly from the L2 cache.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def fallback_kernel(
    scores,
    status,
    top_out,
    threshold_out,
    size_out,
    row_stride,
    n_atoms,
    TILES: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERFLOW: tl.constexpr,
):
    """Largest score, threshold relative to it and support size of one overflowing row; M = at most TILES * BLOCK."""
    row = tl.program_id(0).to(tl.int64)
    if tl.load(status + row) == OVERFLOW:
        start = scores + row * row_stride
        lane = tl.arange(0, BLOCK)
        largest = tl.full([BLOCK], -float("inf"), tl.float32)
        for tile in range(TILES):
            atom = tile * BLOCK + lane
            largest = tl.maximum(largest, tl.load(start + atom, mask=atom < n_atoms, other=-float("inf")))
        top = tl.max(largest, axis=0)

        threshold = tl.full([], -1.0, tl.float64)
        size = tl.full([], 0, tl.int32)
        before = tl.full([], -1, tl.int32)
        while size != before:
            before = size
            totals = tl.zeros([BLOCK], tl.float64)
            counts = tl.zeros([BLOCK], tl.int32)
            for tile in range(TILES):
                atom = tile * BLOCK + lane
                shifted = (tl.load(start + atom, mask=atom < n_atoms, other=-float("inf")) - top).to(tl.float64)
                inside = shifted > threshold
                totals += tl.where(inside, shifted, 0.0)
                counts += inside.to(tl.int32)
            size = tl.sum(counts, axis=0)
            # When the set did not change, neither does its threshold.
            threshold = tl.maximum(threshold, (tl.sum(totals, axis=0) - 1.0) / size)
        tl.store(top_out + row, top)
        tl.store(threshold_out + row, threshold)
        tl.store(size_out + row, size)
