"""What is mixed into a layer's MLP output: the two published forms, for one prompt at a time.

The scale. Delta(x) sums over all tokens of a picture, 49 in a small model and a thousand in a large one, and the products
<x, z> have the size of the width; taken literally it is tens to thousands of times an MLP's output and the model stops
making sense. The published code therefore brings its injected part to the mean magnitude of the MLP's own output before
it is mixed. The paper's formula leaves its phi open; here phi is the layer's own activation, and the sum is brought to the same
magnitude in the same way. So ``alpha`` is a share in both presets.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def paper(x: Tensor, z: Tensor, ffn: Tensor, mlp: Any, alpha: float) -> Tensor:
    """FFN'(x) = alpha Delta(x) + (1 - alpha) FFN(x), Delta(x) = c sum_j phi(<x, z_j>) z_j.

    Parameters
    ----------
    x : float [L, d]
        What the MLP reads.
    z : float [n, d]
        Tokens to inject.
    ffn : float [L, d]
        What the MLP gives.
    mlp : Module
        Its ``act_fn`` is phi (SiLU where it has none).
    alpha : float

    Returns
    -------
    float [L, d]
        c makes the mean magnitude of Delta that of FFN(x); where Delta is zero, ``ffn`` is returned as it is.
    """
    phi = getattr(mlp, "act_fn", F.silu)
    return _mixed(phi(x @ z.T) @ z, ffn, alpha)


def published_code(x: Tensor, z: Tensor, ffn: Tensor, mlp: Any, alpha: float) -> Tensor:
    """(1 - alpha) FFN + alpha a, a = SiLU(x w1^T) w2 brought to the mean magnitude of FFN.

    w1 = Z mean|W_gate| / mean|Z| and w2 = Z mean|W_down| / mean|Z|. Parameters as for :func:`paper`; where Z is all zero
    there is nothing to inject, and ``ffn`` is returned.
    """
    size = z.abs().mean()
    if not bool(size > 0):
        return ffn
    w1 = z * (mlp.gate_proj.weight.abs().mean() / size)
    w2 = z * (mlp.down_proj.weight.abs().mean() / size)
    return _mixed(F.silu(x @ w1.T) @ w2, ffn, alpha)


def _mixed(injected: Tensor, ffn: Tensor, alpha: float) -> Tensor:
    size = injected.abs().mean()
    scaled = injected * (ffn.abs().mean() / size)
    mixed = alpha * scaled + (1 - alpha) * ffn
    return mixed if bool(size > 0) and bool(torch.isfinite(mixed).all()) else ffn
