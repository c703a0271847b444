"""The JumpReLU SAE: a learned threshold for every atom, trained with a penalty on L0 itself.

Source: Rajamanoharan et al., "Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders", arXiv
2407.14435: the model is section 3, the pseudo-derivatives section 4, with the rectangle kernel K(x) = 1 for |x| < 1/2.

    z = W_encoder (u - b_pre) + b_encoder,   a = z where z > theta,   u_hat = a C + b_pre
    loss = NMSE + coefficient * mean over tokens of ||a||_0
    d a / d theta     := -theta / eps K((z - theta) / eps)
    d ||a||_0 / d theta := -1 / eps K((z - theta) / eps),   and no gradient of ||a||_0 to z

theta is trained as its logarithm, as in the paper's pseudo-code. The paper gives theta's start (0.001) and eps (0.001) for
tokens of mean squared length 1; here both are multiples of U, the root mean square length of u - b_pre.

Ours: log theta learns at 50 times the learning rate. Adam moves every number by about the rate a step, so a score, a sum of d
of them, moves by the rate times sqrt(d) U, and theta by a thousandth of itself: over the few thousand steps of a small
training (the paper takes 200,000) thresholds fell behind, and the mean L0 rose from 64 to 1,000 in 45 steps of a start from data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from engine.sae.base import TINY
from engine.sae.batch import BatchStatistics
from engine.sae.linear import LinearConfig, LinearSAE, sparse_start
from engine.sae.penalty import Penalty, PenaltyConfig
from kernels import threshold_attention
from kernels.codes import SparseCodes

_START_THRESHOLD = 0.001


@dataclass(frozen=True, kw_only=True)
class JumpReLUConfig(LinearConfig, PenaltyConfig):
    """Config of a ``JumpReLUSAE``."""

    architecture: ClassVar[str] = "jumprelu"

    coefficient: float = 0.003
    """Weight of the mean L0; where ``target_l0`` is set, the weight that the control starts from."""

    bandwidth: float = 0.001
    """eps in units of U: how near its threshold a score must be to move it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(math.isfinite(self.bandwidth) and self.bandwidth > 0, "bandwidth must be positive")


class JumpReLUSAE(LinearSAE):
    """JumpReLU SAE over M atoms in d dimensions.

    Parameters held: those of ``LinearSAE``, atoms of length 1, and ``log_threshold`` [M].
    """

    config: JumpReLUConfig
    rates: ClassVar[dict[str, float]] = {"log_threshold": 50.0}

    def __init__(self, config: JumpReLUConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator)
        self.log_threshold = nn.Parameter(torch.full((config.n_atoms,), math.log(_START_THRESHOLD)))
        self.penalty = Penalty(config)

    @property
    def threshold(self) -> Tensor:
        """theta [M]."""
        return self.log_threshold.exp()

    def scores(self, x: Tensor) -> Tensor:
        """How far the pre-activations lie above their thresholds."""
        return super().scores(x) - self.threshold

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _codes(self, u: Tensor) -> SparseCodes:
        return threshold_attention(u - self.b_pre, self.w_encoder, self.threshold, self.b_encoder)

    def _pass(self, u: Tensor, batch: BatchStatistics) -> tuple[SparseCodes, Tensor, dict[str, Tensor]]:
        """Takes the scores just below their thresholds along, as zeros: they have a say in where those move."""
        width = self.config.bandwidth * self.penalty.unit
        near = threshold_attention(u - self.b_pre, self.w_encoder, self.threshold - width / 2, self.b_encoder)
        limits = self.threshold.index_select(0, near.col)
        val = _Jump.apply(near.val, limits, width)
        padded = SparseCodes(near.crow, near.col, val, near.n_atoms)
        u_hat = self._decode(padded, None)
        codes = padded.kept(near.val > limits)
        self._count(codes, batch)
        active = _Active.apply(near.val, limits, width).sum() / max(len(codes), 1)
        return codes, u_hat, self.penalty(active, codes, batch)

    def _measure(self, centred: Tensor) -> None:
        self.penalty.measure(centred)
        self.log_threshold.fill_(math.log(_START_THRESHOLD * float(self.penalty.unit)))

    def _start_sparse(self, centred: Tensor) -> None:
        # An atom that fires on half of all tokens has a threshold below zero: such a one starts just above it.
        start = sparse_start(centred, self.w_encoder).clamp_min(TINY).log()
        self.log_threshold.copy_(torch.maximum(start, self.log_threshold))

    def _stretch(self, factor: float) -> None:
        super()._stretch(factor)
        self.log_threshold.add_(math.log(max(factor, TINY)))


def _rectangle(z: Tensor, limits: Tensor, width: Tensor) -> Tensor:
    """K((z - theta) / eps) / eps."""
    return ((z - limits).abs() < width / 2).to(z.dtype) / width


class _Jump(torch.autograd.Function):
    """z where z > theta, 0 elsewhere, with the pseudo-derivative of theta."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, limits: Tensor, width: Tensor) -> Tensor:
        ctx.save_for_backward(z, limits, width)
        return z * (z > limits)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z, limits, width = ctx.saved_tensors
        return grads[0] * (z > limits), -grads[0] * limits * _rectangle(z, limits, width), None


class _Active(torch.autograd.Function):
    """1 where z > theta, 0 elsewhere, with the pseudo-derivative of theta."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, limits: Tensor, width: Tensor) -> Tensor:
        ctx.save_for_backward(z, limits, width)
        return (z > limits).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        z, limits, width = ctx.saved_tensors
        return None, -grads[0] * _rectangle(z, limits, width), None
