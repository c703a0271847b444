"""The weight of a sparsity penalty: its warm-up, and the control that steers it to a wanted mean L0.

Warm-up: Anthropic's update of April 2024 ("Circuits Updates", transformer-circuits.pub) raises the coefficient linearly from
zero over the first steps, which leaves fewer dead atoms.

Target: ours. Comparisons are fair at matched sparsity only, and a coefficient says little about the L0 it ends at. So with
``target_l0`` the logarithm of the coefficient follows the error e = log(L0 of the batch / target), clipped to [-2, 2]:

    log coefficient = I + P e,    I grows by 0.02 e a step,    P = 0.5

an integral controller, damped by a share of the present error: the penalty rises while codes are too dense.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.sae.base import TINY, SAEConfig
from engine.sae.batch import BatchStatistics
from kernels.codes import SparseCodes

_INTEGRAL, _PROPORTIONAL = 0.02, 0.5


@dataclass(frozen=True, kw_only=True)
class PenaltyConfig(SAEConfig):
    """What the configs of SAEs with a sparsity penalty share."""

    coefficient: float = 0.1
    """Weight of the penalty (lambda); where ``target_l0`` is set, the weight that the control starts from."""

    target_l0: float = 0.0
    """Mean active atoms per token that training steers to; 0 keeps the coefficient as it is."""

    penalty_warmup: int = 100
    """Steps over which the penalty rises linearly from zero. The control begins after them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(math.isfinite(self.coefficient) and self.coefficient >= 0, "coefficient must not be negative")
        self.require(0 <= self.target_l0 <= self.n_atoms, "target_l0 must lie in 0 .. n_atoms")
        self.require(
            self.coefficient > 0 or self.target_l0 == 0, "target_l0 needs a positive coefficient to start from"
        )
        self.require(self.penalty_warmup >= 0, "penalty_warmup must not be negative")


class Penalty(nn.Module):
    """Weighs a penalty, and counts the training steps it has weighed.

    Attributes
    ----------
    log_coefficient : float32 scalar
        I above.
    steps : int64 scalar
    unit : float32 scalar
        Root mean square length of the sample's tokens around b_pre; penalties are measured in it. All three are kept in
        checkpoints of a training, not in a saved SAE, whose codes do not depend on them.
    """

    log_coefficient: Tensor
    steps: Tensor
    unit: Tensor

    def __init__(self, config: PenaltyConfig) -> None:
        super().__init__()
        self.target, self.warmup = config.target_l0, config.penalty_warmup
        start = math.log(config.coefficient) if config.coefficient > 0 else -math.inf
        self.register_buffer("log_coefficient", torch.tensor(start), persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("unit", torch.ones(()), persistent=False)

    @torch.no_grad()
    def measure(self, centred: Tensor) -> None:
        """Take ``unit`` from ``centred`` [n, d]."""
        self.unit.copy_(centred.square().sum(1).mean().sqrt().clamp_min(TINY))

    def forward(self, amount: Tensor, codes: SparseCodes, batch: BatchStatistics) -> dict[str, Tensor]:
        """The loss term ``sparsity``: ``amount`` times the coefficient, which in training moves with the L0 of ``codes``."""
        return {"sparsity": self._weight(codes, batch) * amount}

    @torch.no_grad()
    def _weight(self, codes: SparseCodes, batch: BatchStatistics) -> Tensor:
        if not self.training:
            return self.log_coefficient.exp()
        self.steps += 1
        ramp = (self.steps / max(self.warmup, 1)).clamp(max=1.0)
        if not self.target or not len(codes):
            return ramp * self.log_coefficient.exp()
        l0 = max(float(batch.total(codes.l0.sum())) / batch.tokens(len(codes)), 1e-3)
        error = min(max(math.log(l0 / self.target), -2.0), 2.0) * (self.steps > self.warmup)
        self.log_coefficient += _INTEGRAL * error
        return ramp * (self.log_coefficient + _PROPORTIONAL * error).exp()
