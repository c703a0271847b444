"""The Gated SAE: one half of the encoder decides whether an atom is active, the other how much.

Source: Rajamanoharan et al., "Improving Dictionary Learning with Gated Sparse Autoencoders", arXiv 2404.16014: the model and
the tied weights W_mag = exp(r_mag) W_gate and the loss are section 3.2.

    z = W_encoder (u - b_pre),   gate = z + b_encoder,   magnitude = exp(r_mag) z + b_mag
    a = ReLU(magnitude) where gate > 0,   u_hat = a C + b_pre
    loss = NMSE(u_hat) + coefficient * mean over tokens of sum_i ReLU(gate)_i / U + NMSE(ReLU(gate) C' + b_pre')

C' and b_pre' are C and b_pre without gradient: the last term teaches the gate alone, which the step function cuts off from the
first. U is the root mean square length of u - b_pre. Directions have length 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.sae.base import reconstruction_loss
from engine.sae.batch import BatchStatistics
from engine.sae.linear import LinearConfig, LinearSAE, sparse_start
from engine.sae.penalty import Penalty, PenaltyConfig
from kernels import linear, sparse_decode, threshold_attention
from kernels.codes import SparseCodes


@dataclass(frozen=True, kw_only=True)
class GatedConfig(LinearConfig, PenaltyConfig):
    """Config of a ``GatedSAE``."""

    architecture: ClassVar[str] = "gated"


class GatedSAE(LinearSAE):
    """Gated SAE over M atoms in d dimensions.

    Parameters held: those of ``LinearSAE``, where ``b_encoder`` is the bias of the gate, and ``r_mag``, ``b_mag`` [M].
    """

    config: GatedConfig

    def __init__(self, config: GatedConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator)
        self.r_mag = nn.Parameter(torch.zeros(config.n_atoms))
        self.b_mag = nn.Parameter(torch.zeros(config.n_atoms))
        self.penalty = Penalty(config)

    def scores(self, x: Tensor) -> Tensor:
        """The smaller of gate and magnitude: an atom is active where both are positive."""
        z = linear(self._normalise(x) - self.b_pre, self.w_encoder)
        return torch.minimum(z + self.b_encoder, z * self.r_mag.exp() + self.b_mag)

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _gates(self, u: Tensor) -> SparseCodes:
        return threshold_attention(u - self.b_pre, self.w_encoder, 0.0, self.b_encoder)

    def _open(self, gates: SparseCodes) -> SparseCodes:
        """Codes of the open gates whose magnitude is positive. The step function passes no gradient to the gate."""
        bias, gain, shift = (each.index_select(0, gates.col) for each in (self.b_encoder, self.r_mag.exp(), self.b_mag))
        magnitude = (gates.val - bias) * gain + shift
        return SparseCodes(gates.crow, gates.col, magnitude, gates.n_atoms).kept(magnitude > 0)

    def _codes(self, u: Tensor) -> SparseCodes:
        return self._open(self._gates(u))

    def _pass(self, u: Tensor, batch: BatchStatistics) -> tuple[SparseCodes, Tensor, dict[str, Tensor]]:
        gates = self._gates(u)
        codes = self._open(gates)
        u_hat = self._decode(codes, None)
        self._count(codes, batch)
        further = self.penalty(gates.val.sum() / (max(len(gates), 1) * self.penalty.unit), codes, batch)
        frozen = sparse_decode(gates, self.atoms.detach()) + self.b_pre.detach()
        further["auxiliary"] = reconstruction_loss(u, frozen, self.config.loss, batch)
        return codes, u_hat, further

    def _measure(self, centred: Tensor) -> None:
        self.penalty.measure(centred)

    def _start_sparse(self, centred: Tensor) -> None:
        self.b_encoder.copy_(-sparse_start(centred, self.w_encoder))

    def _stretch(self, factor: float) -> None:
        super()._stretch(factor)
        self.b_mag.mul_(factor)
