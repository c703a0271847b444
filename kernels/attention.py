"""Scores, exact support and codes in one differentiable step that never holds a second N x M matrix.

``scores = scale * q @ atoms.T`` is made for a chunk of rows, its support is taken, and the chunk is gone before the
next one. Backward, only the scores on the support have a gradient, so both products run on nnz entries::

    dq[i] = scale * sum_e ds[e] atoms[col[e]],    datoms[m] = scale * sum over the rows that hold m of ds[e] q[row]

Memory: one chunk of scores and O(nnz), whatever N. Time: the score product, 2 N M d operations, is nearly all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kernels.codes import SparseCodes
from kernels.decode import gather_sum, transposed
from kernels.dispatch import Backend
from kernels.products import score_factors, score_product
from kernels.rows import Support, Values
from kernels.sparsemax import check_values, through_support
from kernels.support import sparsemax_support

# A chunk of scores: on a CPU it stays in the last-level cache, on a GPU it is a small part of the memory.
CHUNK_BYTES = {"cpu": 2**25, "cuda": 2**31}
"""Memory that the scores of one chunk of rows may take, by device."""


def sparse_attention(
    q: Tensor,
    atoms: Tensor,
    values: Values = "score",
    scale: float | Tensor = 1.0,
    masked: Tensor | None = None,
    backend: Backend = "auto",
) -> SparseCodes:
    """Sparsemax codes of every query over all atoms; gradients flow to ``q``, ``atoms`` and a tensor ``scale``.

    Parameters
    ----------
    q : float [N, d]
    atoms : float [M, d]
    values : "score" or "probability"
        What the codes hold on the support: ``z = scale * q . atom``, or ``sparsemax(z)``.
    scale : float or scalar tensor
        Multiplies the scores, and with them sets how many atoms win. A tensor that requires grad gets its gradient.
    masked : bool [M], optional
        Atoms that may not win in any row (True).
    backend : see :func:`kernels.sparsemax_support`

    Raises
    ------
    ValueError
        If the shapes do not fit, or a row has no support (NaN, +inf, all atoms masked).
    """
    return sparse_attention_with_threshold(q, atoms, values, scale, masked, backend)[0]


def sparse_attention_with_threshold(
    q: Tensor,
    atoms: Tensor,
    values: Values = "score",
    scale: float | Tensor = 1.0,
    masked: Tensor | None = None,
    backend: Backend = "auto",
) -> tuple[SparseCodes, Tensor]:
    """:func:`sparse_attention` and the threshold ``tau`` [N] every winning score exceeds (no gradient)."""
    check_values(values)
    _check_products(q, atoms, masked)

    def select(scores: Tensor) -> Support:
        return sparsemax_support(scores, backend)

    # Scaling the queries scales the scores, and leaves the gradient of the scale to autograd.
    q = q * scale if isinstance(scale, Tensor) or scale != 1.0 else q
    crow, col, val, tau = _SelectedScores.apply(q, atoms, None, masked, values, select, None)
    return SparseCodes(crow, col, val, atoms.shape[0]), tau


def _check_products(q: Tensor, atoms: Tensor, masked: Tensor | None) -> None:
    if q.dim() != 2 or atoms.dim() != 2 or q.shape[1] != atoms.shape[1]:
        raise ValueError(
            f"q must be [N, d] and atoms [M, d] of the same width, got {list(q.shape)} and {list(atoms.shape)}."
        )
    if atoms.shape[0] == 0:
        raise ValueError("atoms is empty: a dictionary needs at least one atom.")
    if masked is not None and (masked.dtype != torch.bool or masked.shape != atoms.shape[:1]):
        raise ValueError(
            f"masked must be a bool tensor [{atoms.shape[0]}], got {masked.dtype} of shape {list(masked.shape)}."
        )


def selected_scores(
    q: Tensor,
    atoms: Tensor,
    bias: Tensor | None,
    select: Callable[[Tensor], Support],
    prune: Callable[[Support], Support] | None = None,
) -> SparseCodes:
    """Scores ``q @ atoms.T + bias`` at the entries ``select`` keeps of each chunk of rows, differentiable.

    ``prune`` sees what was kept of all rows and may drop entries: for winners that are found over the whole batch.
    """
    _check_products(q, atoms, None)
    if bias is not None and bias.shape != atoms.shape[:1]:
        raise ValueError(f"bias must be [{atoms.shape[0]}], got {list(bias.shape)}.")
    crow, col, val, _ = _SelectedScores.apply(q, atoms, bias, None, "score", select, prune)
    return SparseCodes(crow, col, val, atoms.shape[0])


class _SelectedScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        atoms: Tensor,
        bias: Tensor | None,
        masked: Tensor | None,
        values: Values,
        select: Callable[[Tensor], Support],
        prune: Callable[[Support], Support] | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        hidden = masked.nonzero().squeeze(1) if masked is not None else None
        left, right = score_factors(q, atoms)
        row_bytes = atoms.shape[0] * max(left.element_size(), 4)
        step = max(1, CHUNK_BYTES.get(q.device.type, 2**27) // row_bytes)
        parts = []
        for start in range(0, max(q.shape[0], 1), step):
            scores = score_product(left[start : start + step], right)
            if bias is not None:
                scores += bias
            if hidden is not None and hidden.numel():
                scores.index_fill_(1, hidden, -torch.inf)
            parts.append(select(scores))
            del scores  # so that the next chunk reuses its memory
        support = _joined(parts)
        if prune is not None:
            support = prune(support)
        codes = support.codes(values)
        ctx.save_for_backward(q, atoms, codes.crow, codes.col)
        ctx.values, ctx.has_bias = values, bias is not None
        ctx.mark_non_differentiable(codes.crow, codes.col, support.tau)
        return codes.crow, codes.col, codes.val, support.tau

    @staticmethod
    def backward(
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None, None]:
        q, atoms, crow, col = ctx.saved_tensors
        codes = SparseCodes(crow, col, grads[2].contiguous(), atoms.shape[0])
        on_support = through_support(codes.val, crow, codes.row, ctx.values)
        codes = SparseCodes(crow, col, on_support, atoms.shape[0])
        needs_q, needs_atoms, needs_bias = ctx.needs_input_grad[:3]
        grad_q = gather_sum(crow, col, on_support, atoms).to(q.dtype) if needs_q else None
        grad_atoms = grad_bias = None
        if needs_atoms or needs_bias:
            by_atom = transposed(codes)
            if needs_atoms:
                grad_atoms = gather_sum(by_atom.crow, by_atom.col, by_atom.val, q).to(atoms.dtype)
            if needs_bias:
                grad_bias = torch.segment_reduce(by_atom.val, "sum", offsets=by_atom.crow, axis=0)
        return grad_q, grad_atoms, grad_bias, None, None, None, None


def _joined(parts: list[Support]) -> Support:
    """The supports of consecutive chunks of rows as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    crow = torch.zeros(sum(len(part.crow) - 1 for part in parts) + 1, dtype=torch.int64, device=first.crow.device)
    torch.cumsum(torch.cat([part.crow.diff() for part in parts]), 0, out=crow[1:])
    return Support(
        crow,
        torch.cat([part.col for part in parts]),
        torch.cat([part.z for part in parts]),
        torch.cat([part.p for part in parts]),
        torch.cat([part.tau for part in parts]),
        first.n_atoms,
        sum(part.fallback_rows for part in parts),
    )
