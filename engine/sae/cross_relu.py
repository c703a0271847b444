"""The first ablation of the sparsemax SAE: its cross-attention dictionary, with ReLU and an L1 penalty for sparsemax.

Source: "Improving Sparse Autoencoder with Dynamic Attention", arXiv 2604.14925, which names the ablation and leaves its
details open. Ours are:

    q = (u / ||u||) W_key^T,   a = ReLU(q C^T + b_encoder),   u_hat = ||u|| (a C) W_value
    loss = NMSE + coefficient * mean over tokens of sum_i a_i ||c_i|| g,   g = ||W_value||_F / sqrt(d)

A bias for every atom: without one, half of all scores of centred tokens are positive whatever the penalty. The penalty weighs
an activation with the length of its direction c_i W_value (as for ``relu``), so that nothing is gained by moving length from
codes to matrices; g is the mean gain of W_value, which spares the M d^2 products of the exact lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.sae.base import Loss, option
from engine.sae.batch import BatchStatistics
from engine.sae.cross_attention import CrossAttentionConfig, CrossAttentionSAE
from engine.sae.linear import sparse_start
from engine.sae.penalty import Penalty, PenaltyConfig
from kernels import linear, threshold_attention
from kernels.codes import SparseCodes


@dataclass(frozen=True, kw_only=True)
class CrossReLUConfig(CrossAttentionConfig, PenaltyConfig):
    """Config of a ``CrossReLUSAE``."""

    architecture: ClassVar[str] = "cross-relu"

    loss: Loss = option("published", "nmse", default="nmse")
    """Reconstruction loss; with ``nmse`` a coefficient means the same for activations of any size."""


class CrossReLUSAE(CrossAttentionSAE):
    """Cross-attention + ReLU SAE: parameters as in ``CrossAttentionSAE``, and ``b_encoder`` [M]."""

    config: CrossReLUConfig

    def __init__(self, config: CrossReLUConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator)
        self.b_encoder = nn.Parameter(torch.zeros(config.n_atoms))
        self.penalty = Penalty(config)

    def scores(self, x: Tensor) -> Tensor:
        return linear(self._queries(self._normalise(x)), self.atoms, self.b_encoder)

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _codes(self, u: Tensor) -> SparseCodes:
        return threshold_attention(self._queries(u), self.atoms, 0.0, self.b_encoder)

    def _further_losses(
        self, u: Tensor, codes: SparseCodes, u_hat: Tensor, batch: BatchStatistics
    ) -> dict[str, Tensor]:
        gain = self.w_value.norm() / math.sqrt(self.config.d_model)
        lengths = (self.atoms.norm(dim=1) * gain).index_select(0, codes.col)
        return self.penalty((codes.val * lengths).sum() / max(len(codes), 1), codes, batch)

    def _start_sparse(self, u: Tensor) -> None:
        self.b_encoder.copy_(-sparse_start(self._queries(u[:4096]), self.atoms))
