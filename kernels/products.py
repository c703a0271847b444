"""Dense products by the quickest exact float32 routine of the machine: the scores, and any ``nn.Linear``.

On AMD processors torch's float32 product (MKL) runs at less than half the rate of oneDNN's, which torch carries too: 100
against 215 GFLOP/s measured on one Zen 5 core. Both multiply and accumulate in float32. The choice depends on the
machine alone, never on a timing, so that a run repeats bit for bit.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``, differentiable: ``torch.nn.functional.linear`` with the quickest routine.

    Parameters
    ----------
    x : float [..., d]
    weight : float [m, d]
    bias : float [m], optional

    Returns
    -------
    float [..., m]
        In the inputs' dtype, or what autocast says.
    """
    if not _through_onednn(x, weight):
        return F.linear(x, weight, bias)
    out: Tensor = _OneDNNLinear.apply(x, weight, bias)
    return out


def score_factors(q: Tensor, atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Both factors in the one dtype :func:`score_product` multiplies in: 16 bits on a GPU only, also where autocast says so."""
    dtype = torch.promote_types(q.dtype, atoms.dtype)
    if q.device.type == "cuda" and torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
    if q.device.type != "cuda" and dtype in (torch.float16, torch.bfloat16):
        dtype = torch.float32
    return q.to(dtype), atoms.to(dtype)


def score_product(q: Tensor, atoms: Tensor) -> Tensor:
    """``q @ atoms.T``, [n, d] and [M, d] to [n, M], never rounded to less than float32.

    Scores in 16 bits would move the threshold and with it the support; products of 16-bit factors are kept in 32.
    """
    with torch.autocast(q.device.type, enabled=False):
        if q.dtype in (torch.float16, torch.bfloat16):
            return torch.mm(q, atoms.T, out_dtype=torch.float32)
        return linear(q, atoms)


class FastLinear(nn.Linear):
    """``nn.Linear`` computed by :func:`linear`: the same parameters, the same state dict."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def use_fast_linear(module: nn.Module) -> nn.Module:
    """Make every plain ``nn.Linear`` inside ``module`` compute with :func:`linear`; changes the module and returns it."""
    for child in module.modules():
        if type(child) is nn.Linear:
            child.__class__ = FastLinear
    return module


def _through_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and prefers_onednn()
    )


@cache
def prefers_onednn() -> bool:
    """Whether oneDNN's product beats torch's own here: on an AMD processor, where this torch carries it."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text("utf-8", "replace")[:4096]
    except OSError:  # no Linux: torch's own choice stands
        return False


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grads[0]
        flat = grad.reshape(-1, grad.shape[-1])
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_x = _product(grad, weight.T) if needs_x else None
        grad_weight = _product(flat.T, x.reshape(-1, x.shape[-1]).T) if needs_weight else None
        return grad_x, grad_weight, flat.sum(dim=0) if needs_bias else None
