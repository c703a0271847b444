"""The auxiliary loss that revives dead latents, which the TopK family shares.

Source: Gao et al., "Scaling and evaluating sparse autoencoders", arXiv 2406.04093, appendix A.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.sae.base import TINY
from engine.sae.batch import BatchStatistics
from engine.sae.linear import LinearConfig, LinearSAE
from kernels import sparse_decode, topk_attention
from kernels.codes import SparseCodes


@dataclass(frozen=True, kw_only=True)
class AuxiliaryConfig(LinearConfig):
    """What the configs of the TopK family share."""

    k: int = 32
    """Active atoms per token, on average over a batch where the batch competes."""

    aux_weight: float = 1 / 32
    """Weight of the auxiliary loss (alpha in the paper)."""

    aux_k: int = 512
    """Dead atoms that model the residual of each token (k_aux)."""

    dead_after: int = 10_000_000
    """An atom is dead when it did not fire for this many training tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(isinstance(self.k, int) and 1 <= self.k <= self.n_atoms, "k must lie in 1 .. n_atoms")
        self.require(self.aux_weight >= 0, "aux_weight must not be negative")
        self.require(self.aux_k >= 1 and self.dead_after >= 1, "aux_k and dead_after must be at least 1")


class AuxiliarySAE(LinearSAE):
    """A linear SAE whose dead atoms learn from the error that the live ones leave."""

    config: AuxiliaryConfig

    def _further_losses(
        self, u: Tensor, codes: SparseCodes, u_hat: Tensor, batch: BatchStatistics
    ) -> dict[str, Tensor]:
        """The auxiliary loss: dead atoms reconstruct what the live ones left (appendix A.2)."""
        if not self.training or self.config.aux_weight == 0:
            return {}
        dead = (self.tokens_since_fired > self.config.dead_after).nonzero()[:, 0]
        if dead.numel() == 0:
            return {}
        residual = (u - u_hat).detach()
        k = min(self.config.aux_k, dead.numel())
        codes = topk_attention(u - self.b_pre, self.w_encoder[dead], k, self.b_encoder[dead])
        error = (sparse_decode(codes, self.atoms[dead]) - residual).square().sum()
        auxiliary = error / (batch.share * batch.variance(residual)).clamp_min(TINY)
        # The paper zeroes the term when it is not a number, which happens at the start of training.
        return {"auxiliary": self.config.aux_weight * torch.nan_to_num(auxiliary, 0.0, 0.0, 0.0)}
