"""The score product ``q @ atoms.T``, by whichever exact float32 routine is quickest on this machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor


def score_product(q: Tensor, atoms: Tensor) -> Tensor:
    """``q @ atoms.T``: [n, d] and [M, d] to [n, M], in the inputs' dtype.

    On AMD processors torch's float32 product (MKL) runs at half the rate of oneDNN's, which torch also carries:
    195 against 355 GFLOP/s measured on two Zen 5 cores. Both are plain float32 with float32 accumulation. The choice
    depends on the machine alone, never on a timing, so that a run repeats bit for bit.
    """
    if q.device.type == "cpu" and q.dtype == atoms.dtype == torch.float32 and _prefers_onednn() and q.shape[0] > 0:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(q, atoms, None, "none", [], "")
        return product
    return q @ atoms.T


@cache
def _prefers_onednn() -> bool:
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text("utf-8", "replace")[:4096]
    except OSError:
        return False
