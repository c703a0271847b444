"""Sparse times dense on a GPU: every row of codes gathers and adds its rows of a table, in float32 and in order.

``out[i] = sum over the entries e of row i of val[e] * table[col[e]]``: codes [N, M] in CSR, table [M, d], out [N, d].
On the codes by atom (:func:`kernels.decode.transposed`) the same kernel makes the gradient of a table: one segment an
atom, no atomics, so the result repeats bit for bit.

Cost: nnz * d gathered reads (rows of the table that several codes share come from the L2 cache) and N * d writes.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_ENTRIES = 8  # rows gathered at a time: that many loads are in flight


@triton.jit
def gather_sum_kernel(crow, col, val, table, out, width, table_stride, ENTRIES: tl.constexpr, BLOCK: tl.constexpr):
    """One row, BLOCK columns of the table."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    entry = tl.load(crow + row)
    stop = tl.load(crow + row + 1)
    total = tl.zeros([BLOCK], tl.float32)
    while entry < stop:
        entries = entry + tl.arange(0, ENTRIES)
        real = entries < stop
        source = tl.load(col + entries, mask=real, other=0).to(tl.int64)
        weight = tl.load(val + entries, mask=real, other=0.0).to(tl.float32)
        rows = tl.load(
            table + source[:, None] * table_stride + column[None, :], mask=real[:, None] & inside[None, :], other=0.0
        )
        total += tl.sum(weight[:, None] * rows.to(tl.float32), axis=0)
        entry += ENTRIES
    tl.store(out + row * width + column, total, mask=inside)


def gather_sum(crow: Tensor, col: Tensor, val: Tensor, table: Tensor) -> Tensor:
    """``out[i] = sum_e val[e] * table[col[e]]``: float32 [N, d]; the table may be float16 or bfloat16."""
    n_rows, width = crow.numel() - 1, table.shape[1]
    table = table if table.stride(1) == 1 else table.contiguous()
    out = torch.empty(n_rows, width, device=table.device)
    if n_rows:
        block = min(512, triton.next_power_of_2(width))
        grid = (n_rows, triton.cdiv(width, block))
        gather_sum_kernel[grid](crow, col, val.contiguous(), table, out, width, table.stride(0), _ENTRIES, block)
    return out
