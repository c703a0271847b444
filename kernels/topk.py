"""Top-k codes on the CSR path: k winners in every row, or k per row on average over a whole batch."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.attention import selected_scores
from kernels.codes import SparseCodes
from kernels.dispatch import Backend, choose_backend
from kernels.rows import Support
from kernels.support import check_scores
from kernels.threshold import threshold_support
from kernels.torch_rows import group_maxima


def topk_codes(scores: Tensor, k: int, backend: Backend = "auto") -> SparseCodes:
    """The k largest scores of every row (Makhzani & Frey 2013, "k-Sparse Autoencoders"), differentiable.

    Of equal scores at the edge, which ones win is not specified.

    Parameters
    ----------
    scores : float [N, M]
    k : int, 1 to M

    Raises
    ------
    ValueError
        If k is out of range, or a selected score is NaN or infinite.
    """
    check_scores(scores)
    support = topk_support(scores.detach(), k, backend)
    row = SparseCodes(support.crow, support.col, support.z, support.n_atoms).row
    return SparseCodes(support.crow, support.col, scores[row, support.col.long()], support.n_atoms)


def topk_attention(
    q: Tensor, atoms: Tensor, k: int, bias: Tensor | None = None, backend: Backend = "auto"
) -> SparseCodes:
    """:func:`topk_codes` of ``q @ atoms.T + bias`` in row chunks; gradients through the k winners only.

    Parameters
    ----------
    q : float [N, d]
    atoms : float [M, d]
    k : int, 1 to M
    bias : float [M], optional
    """
    return selected_scores(q, atoms, bias, lambda scores: topk_support(scores, k, backend))


def batch_topk_codes(scores: Tensor, k: int) -> SparseCodes:
    """The ``N * k`` largest scores of the whole batch (Bussmann et al. 2024, "BatchTopK"), differentiable.

    Rows differ in how many they get; k per row on average.

    Raises
    ------
    ValueError
        If k is out of range, or a selected score is NaN or infinite.
    """
    check_scores(scores)
    n_rows, n_atoms = scores.shape
    _check_k(k, n_atoms)
    row, col = _batch_winners(scores.detach(), n_rows * k)
    crow = torch.searchsorted(row, torch.arange(n_rows + 1, device=scores.device))
    return SparseCodes(crow, col.int(), scores[row, col], n_atoms)


def batch_topk_attention(q: Tensor, atoms: Tensor, k: int, bias: Tensor | None = None) -> SparseCodes:
    """:func:`batch_topk_codes` of ``q @ atoms.T + bias`` in row chunks; gradients through the ``N * k`` winners only.

    The count-th largest of the rows read so far is a lower bound of the batch's, so every chunk keeps only what reaches
    it, and the last cut is made among a few times ``N * k`` entries.

    Parameters
    ----------
    q : float [N, d]
    atoms : float [M, d]
    k : int, 1 to M
    bias : float [M], optional
    """
    _check_k(k, atoms.shape[0])
    count = len(q) * k
    best = q.new_empty(0)

    def select(scores: Tensor) -> Support:
        nonlocal best
        bound = best.amin() if len(best) == count and count else _lower_bound(scores, count)
        below = torch.nextafter(bound, bound.new_tensor(-torch.inf))
        support = threshold_support(scores, below.expand(scores.shape[1]))
        best = torch.cat([best, support.z])
        best = best.topk(min(count, len(best)), sorted=False).values
        return support

    def prune(support: Support) -> Support:
        chosen = support.z.topk(count, sorted=False).indices.sort().values
        _check_chosen(support.z[chosen])
        row = torch.repeat_interleave(torch.arange(len(q), device=q.device), support.crow.diff())[chosen]
        crow = torch.searchsorted(row, torch.arange(len(q) + 1, device=q.device))
        return Support(crow, support.col[chosen], support.z[chosen], support.p[chosen], support.tau, support.n_atoms)

    return selected_scores(q, atoms, bias, select, prune)


def _lower_bound(scores: Tensor, count: int) -> Tensor:
    """A value that at least ``count`` entries of ``scores`` reach: the ``count``-th largest of its group maxima."""
    n_rows, n_atoms = scores.shape
    maxima = group_maxima(scores, -(-n_atoms // 32)).flatten() if n_rows else scores.flatten()
    if bool((maxima.isnan() | (maxima == torch.inf)).any()):
        raise ValueError("A top-k score is NaN or infinite; check what produced the scores.")
    enough = 0 < count <= maxima.numel()
    return maxima.topk(count, sorted=False).values.amin() if enough else scores.new_tensor(-torch.inf)


def _batch_winners(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the ``count`` largest entries of a matrix, in row-major order.

    As with a row's top-k, the ``count``-th largest of the group maxima is a lower bound, found in 1/32 of the scores;
    only what reaches it is sorted out.
    """
    row, col = (scores >= _lower_bound(scores, count)).nonzero(as_tuple=True)
    z = scores[row, col]
    chosen = z.topk(count, sorted=False).indices.sort().values
    _check_chosen(z[chosen])
    return row[chosen], col[chosen]


def topk_support(scores: Tensor, k: int, backend: Backend = "auto") -> Support:
    """The k winners of every row of ``scores`` [N, M], columns ascending; ``tau`` is the smallest winner."""
    n_rows, n_atoms = scores.shape
    _check_k(k, n_atoms)
    if choose_backend(backend, scores.device, scores.dtype) == "numba":
        from kernels.numba_rows import topk_support as compiled

        return compiled(scores.float(), k)
    col = scores.topk(k, dim=1, sorted=False).indices.sort(dim=1).values
    z = scores.gather(1, col)
    _check_chosen(z)
    tau = z.amin(dim=1)
    crow = torch.arange(n_rows + 1, device=scores.device) * k
    return Support(crow, col.int().flatten(), z.flatten(), (z - tau[:, None]).flatten(), tau, n_atoms)


def _check_k(k: int, n_atoms: int) -> None:
    if not 1 <= k <= n_atoms:
        raise ValueError(f"k must lie between 1 and the number of atoms, {n_atoms}; got {k}.")


def _check_chosen(z: Tensor) -> None:
    if not bool(z.isfinite().all()):
        raise ValueError("A top-k score is NaN or infinite; check what produced the scores.")
