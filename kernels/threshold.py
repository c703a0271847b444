"""Codes of all scores above a threshold, one threshold per atom: the support of ReLU-like SAEs on the CSR path."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.attention import selected_scores
from kernels.codes import SparseCodes
from kernels.dispatch import choose_backend
from kernels.rows import Support


def threshold_attention(
    q: Tensor, atoms: Tensor, threshold: Tensor | float = 0.0, bias: Tensor | None = None
) -> SparseCodes:
    """The entries of ``q @ atoms.T + bias`` above ``threshold``, in row chunks; gradients through those entries only.

    With a threshold of 0 the values are the ReLU of the scores. Rows may be empty.

    Parameters
    ----------
    q : float [N, d]
    atoms : float [M, d]
    threshold : float or float [M]
        A score exactly at its threshold is left out. No gradient flows to it.
    bias : float [M], optional

    Raises
    ------
    ValueError
        If the shapes do not fit, or a score is NaN or +inf.
    """
    limits = torch.as_tensor(threshold, dtype=q.dtype, device=q.device).detach()
    if limits.dim() and limits.shape != atoms.shape[:1]:
        raise ValueError(f"threshold must be a number or [{atoms.shape[0]}], got {list(limits.shape)}.")
    limits = limits.expand(atoms.shape[0]).contiguous()
    return selected_scores(q, atoms, bias, lambda scores: threshold_support(scores, limits))


def threshold_support(scores: Tensor, threshold: Tensor) -> Support:
    """The entries of ``scores`` [N, M] above ``threshold`` [M]; ``p`` is the excess over the threshold, ``tau`` is 0."""
    if choose_backend("auto", scores.device, scores.dtype) == "numba":
        from kernels.numba_threshold import threshold_support as compiled

        return compiled(scores, threshold)
    # Written the other way round, so that NaN is chosen too and found below.
    row, col = (~(scores <= threshold)).nonzero(as_tuple=True)
    z = scores[row, col]
    if not bool(z.isfinite().all()):
        raise ValueError("A score is NaN or infinite; check what produced the scores.")
    crow = torch.searchsorted(row, torch.arange(len(scores) + 1, device=scores.device))
    return Support(crow, col.int(), z, z - threshold[col], scores.new_zeros(len(scores)), scores.shape[1])
