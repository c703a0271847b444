"""The support of sparsemax, row by row: which atoms win, their scores, and the threshold they beat.

Source: Martins & Astudillo, "From Softmax to Sparsemax" (2016), equations 2-5. For a row ``z``::

    sparsemax(z)_i = max(z_i - tau, 0),    tau = (sum of z over the support - 1) / |support|

Every backend returns the exact support: a row is never returned on a guess that was not certified.
:mod:`kernels.audit` counts and checks that.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from kernels.audit import observe
from kernels.dispatch import Backend, Chosen, choose_backend
from kernels.rows import Support


def sparsemax_support(scores: Tensor, backend: Backend = "auto") -> Support:
    """Exact sparsemax support of every row.

    Parameters
    ----------
    scores : float [N, M]
        Any float dtype. float16 and bfloat16 are computed in float32, float64 in float64 (reference backend).
        ``-inf`` is legal and masks an atom.
    backend : "auto", "reference", "torch", "numba" or "triton"

    Raises
    ------
    ValueError
        If a row holds NaN or +inf, or nothing but -inf: no support exists.
    """
    check_scores(scores)
    scores = scores.detach()
    chosen = choose_backend(backend, scores.device, scores.dtype)
    if chosen != "reference" and scores.dtype != torch.float32:
        scores = scores.float()
    support: Support = backend_module(chosen).support(scores)
    observe(scores, support)
    return support


def backend_module(chosen: Chosen) -> Any:
    """The module of a backend. Numba and Triton cost a second to import: only the one in use is paid for."""
    homes: dict[Chosen, str] = {
        "reference": "kernels.reference",
        "torch": "kernels.torch_rows",
        "numba": "kernels.numba_rows",
        "triton": "kernels.gpu.support",
    }
    return import_module(homes[chosen])


def check_scores(scores: Tensor) -> None:
    """Raise ValueError unless ``scores`` is a float matrix with at least one column."""
    if scores.dim() != 2 or not scores.is_floating_point():
        raise ValueError(
            f"scores must be a floating-point matrix [N, M], got {scores.dtype} of shape {list(scores.shape)}."
        )
    if scores.shape[1] == 0:
        raise ValueError("scores have no columns: a dictionary needs at least one atom.")
    if scores.shape[1] > 2**31 - 1:
        raise ValueError(f"scores have {scores.shape[1]:,} columns; columns are 32-bit, so at most 2,147,483,647.")
