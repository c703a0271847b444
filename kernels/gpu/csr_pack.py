"""Writes the support of every row to its place in the CSR arrays, columns ascending.

Shapes: scores float32 [N, M]; crow int64 [N + 1]; col int32, z and p float32 [nnz] out. Rows that took the quick path
look into their active groups again, overflowing rows stream; each kernel skips the rows of the other.

Cost: the 32 scores of each active group (in the L2 cache since the threshold was found), 12 bytes written an entry.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def pack_active_kernel(
    scores,
    ids,
    n_active,
    status,
    top_in,
    threshold_in,
    crow,
    col_out,
    z_out,
    p_out,
    row_stride,
    n_atoms,
    GROUP: tl.constexpr,
    CAP: tl.constexpr,
):
    """Pack one row from its active groups. Ids ascend and groups hold consecutive atoms: flat order is atom order."""
    row = tl.program_id(0).to(tl.int64)
    if tl.load(status + row) == 0:
        flat = tl.arange(0, CAP * GROUP)
        slot = flat // GROUP
        used = slot < tl.load(n_active + row)
        atom = tl.load(ids + row * CAP + slot, mask=used, other=0) * GROUP + flat % GROUP
        z = tl.load(scores + row * row_stride + atom, mask=used & (atom < n_atoms), other=-float("inf"))
        p = (z - tl.load(top_in + row)).to(tl.float64) - tl.load(threshold_in + row)
        inside = p > 0.0
        place = tl.load(crow + row) + tl.cumsum(inside.to(tl.int32), axis=0) - 1
        tl.store(col_out + place, atom, mask=inside)
        tl.store(z_out + place, z, mask=inside)
        tl.store(p_out + place, p.to(tl.float32), mask=inside)


@triton.jit
def pack_streaming_kernel(
    scores,
    status,
    top_in,
    threshold_in,
    crow,
    col_out,
    z_out,
    p_out,
    row_stride,
    n_atoms,
    TILES: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERFLOW: tl.constexpr,
):
    """Pack one overflowing row, tile by tile."""
    row = tl.program_id(0).to(tl.int64)
    if tl.load(status + row) == OVERFLOW:
        top = tl.load(top_in + row)
        threshold = tl.load(threshold_in + row)
        free = tl.load(crow + row)
        for tile in range(TILES):
            atom = tile * BLOCK + tl.arange(0, BLOCK)
            z = tl.load(scores + row * row_stride + atom, mask=atom < n_atoms, other=-float("inf"))
            p = (z - top).to(tl.float64) - threshold
            inside = p > 0.0
            place = free + tl.cumsum(inside.to(tl.int32), axis=0) - 1
            tl.store(col_out + place, atom, mask=inside)
            tl.store(z_out + place, z, mask=inside)
            tl.store(p_out + place, p.to(tl.float32), mask=inside)
            free += tl.sum(inside.to(tl.int32), axis=0)
