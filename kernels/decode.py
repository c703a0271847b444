"""Sparse decode: every row of codes gathers its few rows of a table. Forward, and both gradients.

``out[i] = sum over the entries e of row i of val[e] * table[col[e]]``. The gradient of ``val`` is a gathered dot
product; the gradient of the table is the same gather on the transposed codes. Nothing is N x M, and every sum runs in
a fixed order: the same input gives the same bits.

Cost: nnz * d multiply-adds and as many gathered reads, forward and for each gradient. A dense product does N * M * d,
but at several times the rate; past the densities below it is the quicker one and takes over, in row chunks.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.codes import SparseCodes
from kernels.dispatch import installed
from kernels.products import linear

# Fraction of non-zeros from which a dense product in chunks beats gathering. Measured at d = 768: on a Zen 5 core 1/6
# to 1/4 for M = 4,096 to 49,152; on an H200 356 of 65,536.
DENSE_FROM = {"cpu": 1 / 5, "cuda": 1 / 184}
CHUNK_BYTES = 2**26
"""Memory that one chunk may take."""


def sparse_decode(codes: SparseCodes, table: Tensor) -> Tensor:
    """Codes times table, ``[N, M] @ [M, d] -> [N, d]``, differentiable with respect to ``codes.val`` and ``table``.

    Raises
    ------
    ValueError
        If the table does not have one row per atom.
    """
    if table.dim() != 2 or table.shape[0] != codes.n_atoms:
        raise ValueError(f"the table must be [{codes.n_atoms}, d] to decode these codes, got {list(table.shape)}.")
    out: Tensor = _Decode.apply(codes.val, table, codes.crow, codes.col)
    return out


def gather_sum(crow: Tensor, col: Tensor, val: Tensor, table: Tensor) -> Tensor:
    """``out[i] = sum_e val[e] * table[col[e]]`` over the entries of row ``i``: [N, d]."""
    n_rows = crow.numel() - 1
    if col.numel() == 0:
        return table.new_zeros(n_rows, table.shape[1])
    if col.numel() > n_rows * table.shape[0] * DENSE_FROM.get(table.device.type, 1.0):
        return dense_gather_sum(SparseCodes(crow, col, val, table.shape[0]), table)
    if _on_triton(table, val):
        from kernels.gpu.sparse_decode import gather_sum as compiled

        return compiled(crow, col, val, table).to(table.dtype)
    return F.embedding_bag(
        col.long(), table, crow, mode="sum", per_sample_weights=val.to(table.dtype), include_last_offset=True
    )


def gather_dots(codes: SparseCodes, left: Tensor, table: Tensor) -> Tensor:
    """``left[i] . table[col[e]]`` for every entry ``e`` of row ``i``: [nnz]."""
    if table.device.type == "cpu" and table.dtype == left.dtype == torch.float32 and installed("numba"):
        from kernels.numba_sparse import gathered_dots

        return gathered_dots(codes.crow, codes.col, left, table)
    if _on_triton(table, left):
        from kernels.gpu.sparse_dots import gather_dots as compiled

        return compiled(codes.crow, codes.col, left, table)
    row, col = codes.row, codes.col.long()
    step = max(1, CHUNK_BYTES // (table.shape[1] * table.element_size()))
    parts = [
        (left[row[start : start + step]] * table[col[start : start + step]]).sum(dim=1)
        for start in range(0, max(col.numel(), 1), step)
    ]
    return torch.cat(parts)


def transposed(codes: SparseCodes) -> SparseCodes:
    """The codes by atom: rows are atoms, columns are the rows that hold them, ascending.

    A stable sort, so the sums over an atom's entries have one order.
    """
    if codes.col.device.type == "cpu" and installed("numba"):
        from kernels.numba_sparse import by_column

        starts, row, source = by_column(codes.crow, codes.col, codes.n_atoms)
        return SparseCodes(starts, row, codes.val[source], len(codes))
    by_atom, source = torch.sort(codes.col, stable=True)
    atoms = torch.arange(codes.n_atoms + 1, device=codes.col.device, dtype=codes.col.dtype)
    starts = torch.searchsorted(by_atom, atoms)
    return SparseCodes(starts, codes.row[source].int(), codes.val[source], len(codes))


def _on_triton(*tensors: Tensor) -> bool:
    return installed("triton") and all(each.device.type == "cuda" and each.dtype != torch.float64 for each in tensors)


def dense_gather_sum(codes: SparseCodes, table: Tensor) -> Tensor:
    """``[N, M] @ [M, d]`` with the codes made dense, ``CHUNK_BYTES`` of rows at a time."""
    step = max(1, CHUNK_BYTES // (codes.n_atoms * table.element_size()))
    out = table.new_empty(len(codes), table.shape[1])
    edges = [*range(0, len(codes), step), len(codes)]
    bounds = codes.crow[edges].tolist()
    for first, start, stop in zip(edges, bounds[:-1], bounds[1:], strict=False):
        crow = codes.crow[first : first + step + 1] - start
        part = SparseCodes(crow, codes.col[start:stop], codes.val[start:stop].to(table.dtype), codes.n_atoms)
        out[first : first + step] = linear(part.dense(), table.T)
    return out


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, val: Tensor, table: Tensor, crow: Tensor, col: Tensor) -> Tensor:
        ctx.save_for_backward(val, table, crow, col)
        return gather_sum(crow, col, val, table)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        val, table, crow, col = ctx.saved_tensors
        grad = grads[0].contiguous()
        codes = SparseCodes(crow, col, val, table.shape[0])
        grad_val = gather_dots(codes, grad, table).to(val.dtype) if ctx.needs_input_grad[0] else None
        grad_table = None
        if ctx.needs_input_grad[1]:
            by_atom = transposed(codes)
            grad_table = gather_sum(by_atom.crow, by_atom.col, by_atom.val, grad).to(table.dtype)
        return grad_val, grad_table, None, None
