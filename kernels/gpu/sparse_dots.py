"""The gradient of the codes on a GPU: ``out[e] = left[i] . table[col[e]]`` for every entry e of row i.

Shapes: left [N, d], table [M, d], codes [N, M] in CSR; out float32 [nnz]. The dense product would be N x M; this
computes the entries of the support and nothing else.

Cost: nnz * d gathered reads and multiply-adds; ``left`` is read once for every ENTRIES entries, from the cache.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_ENTRIES = 16


@triton.jit
def gather_dots_kernel(
    crow,
    col,
    left,
    table,
    out,
    width,
    left_stride,
    table_stride,
    ENTRIES: tl.constexpr,
    TILES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """All entries of one row."""
    row = tl.program_id(0).to(tl.int64)
    entry = tl.load(crow + row)
    stop = tl.load(crow + row + 1)
    while entry < stop:
        entries = entry + tl.arange(0, ENTRIES)
        real = entries < stop
        source = tl.load(col + entries, mask=real, other=0).to(tl.int64)
        total = tl.zeros([ENTRIES], tl.float32)
        for tile in range(TILES):
            column = tile * BLOCK + tl.arange(0, BLOCK)
            inside = column < width
            one = tl.load(left + row * left_stride + column, mask=inside, other=0.0).to(tl.float32)
            rows = tl.load(
                table + source[:, None] * table_stride + column[None, :],
                mask=real[:, None] & inside[None, :],
                other=0.0,
            )
            total += tl.sum(rows.to(tl.float32) * one[None, :], axis=1)
        tl.store(out + entries, total, mask=real)
        entry += ENTRIES


def gather_dots(crow: Tensor, col: Tensor, left: Tensor, table: Tensor) -> Tensor:
    """``left[i] . table[col[e]]`` for every entry ``e`` of row ``i``: float32 [nnz]."""
    n_rows, width = crow.numel() - 1, table.shape[1]
    left, table = (each if each.stride(1) == 1 else each.contiguous() for each in (left, table))
    out = torch.empty(col.numel(), device=table.device)
    if n_rows:
        block = min(256, triton.next_power_of_2(width))
        strides = (left.stride(0), table.stride(0))
        tiles = triton.cdiv(width, block)
        gather_dots_kernel[(n_rows,)](crow, col, left, table, out, width, *strides, _ENTRIES, tiles, block)
    return out
