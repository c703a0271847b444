"""Sparsemax codes of a dense score matrix, with their gradient through the support only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernels.codes import SparseCodes
from kernels.dispatch import Backend
from kernels.rows import Values
from kernels.support import check_scores, sparsemax_support


def sparsemax_codes(scores: Tensor, values: Values = "score", backend: Backend = "auto") -> SparseCodes:
    """Codes of N rows of scores over M atoms, differentiable with respect to ``scores``.

    Parameters
    ----------
    scores : float [N, M]
    values : "score" or "probability"
        What a code holds on the support: the score ``z`` itself (the support acts as a gate), or ``sparsemax(z)``.
    backend : see :func:`kernels.sparsemax_support`

    Returns
    -------
    SparseCodes
        float32 values, float64 for float64 scores.

    Raises
    ------
    ValueError
        If a row has no support: it holds NaN or +inf, or nothing but -inf.
    """
    check_values(values)
    check_scores(scores)
    crow, col, val = _SparsemaxCodes.apply(scores, values, backend)
    return SparseCodes(crow, col, val, scores.shape[1])


def check_values(values: str) -> None:
    """Raise ValueError unless ``values`` names one of the two modes."""
    if values not in ("score", "probability"):
        raise ValueError(f"values must be 'score' or 'probability', got {values!r}.")


def through_support(grad_val: Tensor, crow: Tensor, row: Tensor, values: Values) -> Tensor:
    """Gradient with respect to the scores on the support, [nnz]; it is zero everywhere else.

    Score mode: the identity. Probability mode: ``I - 1 1^T / |S|`` on the support (Martins & Astudillo 2016,
    equation 11), that is, the row's mean is taken away.
    """
    if values == "score" or grad_val.numel() == 0:
        return grad_val
    # Segments are summed in a fixed order, where index_add_ would use atomics on a GPU.
    mean = torch.segment_reduce(grad_val, "mean", offsets=crow, axis=0)
    return grad_val - mean[row]


class _SparsemaxCodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, values: Values, backend: Backend) -> tuple[Tensor, Tensor, Tensor]:
        support = sparsemax_support(scores, backend)
        codes = support.codes(values)
        ctx.save_for_backward(codes.crow, codes.col)
        ctx.values, ctx.dtype, ctx.n_atoms = values, scores.dtype, scores.shape[1]
        ctx.mark_non_differentiable(codes.crow, codes.col)
        return codes.crow, codes.col, codes.val

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        crow, col = ctx.saved_tensors
        codes = SparseCodes(crow, col, grads[2], ctx.n_atoms)
        row = codes.row
        on_support = through_support(grads[2], codes.crow, row, ctx.values)
        grad = grads[2].new_zeros(len(codes), codes.n_atoms)
        grad[row, codes.col.long()] = on_support
        return grad.to(ctx.dtype), None, None
