"""The oracle: sparsemax and top-k by a full sort, in float64 whatever comes in. Slow, plain, and right.

Cost: one sort of every row, O(M log M), and several N x M float64 buffers. Use it for tests and for float64 gradient
checks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.rows import Support, explain_bad_row


def support(scores: Tensor) -> Support:
    """Sparsemax support of ``scores`` [N, M]; see :func:`kernels.sparsemax_support`."""
    n_rows, n_atoms = scores.shape
    z = scores.double()
    top = z.amax(dim=1, keepdim=True) if n_rows else z.new_zeros(0, 1)
    bad = (~top.isfinite()).any(dim=1).nonzero()
    if bad.numel():
        first = int(bad[0])
        raise explain_bad_row(first, scores[first])
    shifted = z - top
    ordered = shifted.sort(dim=1, descending=True).values
    rank = torch.arange(1, n_atoms + 1, dtype=torch.float64, device=z.device)
    # An atom masked with -inf would turn the running sum into -inf, and 0 * -inf into NaN: it can never win, so a
    # finite value below every threshold takes its place.
    cumulative = ordered.clamp(min=-2.0).cumsum(dim=1) - 1
    size = (ordered * rank > cumulative).sum(dim=1, keepdim=True)
    threshold = cumulative.gather(1, size - 1) / size
    inside = shifted > threshold
    row, col = inside.nonzero(as_tuple=True)
    crow = torch.zeros(n_rows + 1, dtype=torch.int64, device=z.device)
    torch.cumsum(inside.sum(dim=1), 0, out=crow[1:])
    dtype = scores.dtype if scores.dtype == torch.float64 else torch.float32
    return Support(
        crow,
        col.int(),
        z[row, col].to(dtype),
        (shifted - threshold)[row, col].to(dtype),
        (top + threshold).squeeze(1).to(dtype),
        n_atoms,
    )
