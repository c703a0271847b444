"""The ReLU SAE with an L1 penalty, and resampling of its dead atoms.

Sources: Bricken et al. 2023, "Towards Monosemanticity" (the model and, in its appendix, resampling), and Anthropic's update of
April 2024, "Circuits Updates" (transformer-circuits.pub), which this file follows where they differ: decoder directions are
free, and the penalty weighs every activation with the length of its direction, so that nothing is gained by long directions
and small codes. Directions start at length 0.1.

    a = ReLU(W_encoder (u - b_pre) + b_encoder),   u_hat = a C + b_pre
    loss = NMSE + coefficient * mean over tokens of sum_i a_i ||c_i|| / U

U is the root mean square length of u - b_pre. The update scales tokens to U = sqrt(d) and adds lambda sum_i a_i ||c_i|| to
the plain squared error: ``coefficient = lambda / sqrt(d)`` is the same loss, 0.18 for its lambda of 5 at d = 768.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from engine.sae.base import TINY
from engine.sae.batch import BatchStatistics
from engine.sae.linear import LinearConfig, LinearSAE, sparse_start
from engine.sae.penalty import Penalty, PenaltyConfig
from kernels import threshold_attention
from kernels.codes import SparseCodes

_START_LENGTH = 0.1
_RESAMPLED_GAIN = 0.2


@dataclass(frozen=True, kw_only=True)
class ReLUConfig(LinearConfig, PenaltyConfig):
    """Config of a ``ReLUSAE``."""

    architecture: ClassVar[str] = "relu"

    resample_every: int = 0
    """Steps between two resamplings of dead atoms; 0 for none."""

    dead_after: int = 1_000_000
    """Resampling takes an atom for dead when it did not fire for this many training tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.resample_every >= 0, "resample_every must not be negative")
        self.require(self.dead_after >= 1, "dead_after must be at least 1")


class ReLUSAE(LinearSAE):
    """ReLU SAE over M atoms in d dimensions: parameters as in ``LinearSAE``, atoms of any length."""

    config: ReLUConfig
    unit_atoms = False

    def __init__(self, config: ReLUConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator)
        with torch.no_grad():
            self.atoms.mul_(_START_LENGTH)
            self.w_encoder.mul_(_START_LENGTH)
        self.penalty = Penalty(config)

    @torch.no_grad()
    def resample(self, x: Tensor) -> Tensor | None:
        """Dead atoms take the direction of badly reconstructed tokens (Bricken et al. 2023, appendix).

        Every dead atom draws a token of ``x`` with a probability proportional to its squared loss. Its decoder direction
        is the token's, as long as the live atoms' are on average (1 in the source, whose directions are unit); its
        encoder row the same at a fifth of the live rows' mean length; its bias 0.
        """
        every, steps = self.config.resample_every, int(self.penalty.steps)
        if not every or steps % every:
            return None
        is_dead = self.tokens_since_fired > self.config.dead_after
        dead = is_dead.nonzero()[:, 0]
        if not len(dead) or bool(is_dead.all()):
            return None
        centred = self._normalise(x) - self.b_pre
        loss = (self._decode(self._codes(centred + self.b_pre), None) - self.b_pre - centred).square().sum(1)
        generator = torch.Generator().manual_seed(steps)
        drawn = torch.multinomial(loss.square().cpu() + TINY, len(dead), replacement=True, generator=generator)
        tokens = centred[drawn.to(centred.device)]
        unit = tokens / tokens.norm(dim=1, keepdim=True).clamp_min(TINY)
        self.atoms[dead] = unit * self.atoms[~is_dead].norm(dim=1).mean()
        self.w_encoder[dead] = unit * _RESAMPLED_GAIN * self.w_encoder[~is_dead].norm(dim=1).mean()
        self.b_encoder[dead] = 0.0
        self.tokens_since_fired[dead] = 0
        return dead

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _codes(self, u: Tensor) -> SparseCodes:
        return threshold_attention(u - self.b_pre, self.w_encoder, 0.0, self.b_encoder)

    def _further_losses(
        self, u: Tensor, codes: SparseCodes, u_hat: Tensor, batch: BatchStatistics
    ) -> dict[str, Tensor]:
        lengths = self.atoms.norm(dim=1).index_select(0, codes.col)
        return self.penalty((codes.val * lengths).sum() / (max(len(codes), 1) * self.penalty.unit), codes, batch)

    def _measure(self, centred: Tensor) -> None:
        self.penalty.measure(centred)

    def _start_sparse(self, centred: Tensor) -> None:
        self.b_encoder.copy_(-sparse_start(centred, self.w_encoder))
