"""The TopK SAE, with the auxiliary loss that revives dead latents.

Source: Gao et al., "Scaling and evaluating sparse autoencoders", arXiv 2406.04093: the model is equation 1 and section 2.3,
the auxiliary loss appendix A.2, the start (encoder = decoder transposed, b_pre = median, unit decoder directions) appendix
A.1. The geometric median is taken by Weiszfeld's iteration.

    z = W_encoder (u - b_pre) + b_encoder,   a = the K largest entries of z,   u_hat = a C + b_pre

As in equation 1 the code is the K largest pre-activations themselves; no ReLU follows, so every token has exactly K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.sae.base import TINY, Loss, SAEConfig, SparseAutoencoder, option
from engine.sae.initialisation import Init, draw_atoms
from kernels import sparse_decode, topk_attention
from kernels.codes import SparseCodes


@dataclass(frozen=True, kw_only=True)
class TopKConfig(SAEConfig):
    """Config of a ``TopKSAE``."""

    architecture: ClassVar[str] = "topk"

    k: int = 32
    """Active atoms a token."""

    loss: Loss = option("published", "nmse", default="nmse")
    """Reconstruction loss; the paper's is the normalised one."""

    aux_weight: float = 1 / 32
    """Weight of the auxiliary loss (alpha in the paper)."""

    aux_k: int = 512
    """Dead atoms that model the residual of each token (k_aux)."""

    dead_after: int = 10_000_000
    """An atom is dead when it did not fire for this many training tokens."""

    init: Init = option("random", "data", "spread", default="random")
    """Directions that training starts from: ``random`` ones as in the paper, or those of training tokens, see
    ``engine.sae.initialisation``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(isinstance(self.k, int) and 1 <= self.k <= self.n_atoms, "k must lie in 1 .. n_atoms")
        self.require(self.aux_weight >= 0, "aux_weight must not be negative")
        self.require(self.aux_k >= 1 and self.dead_after >= 1, "aux_k and dead_after must be at least 1")


class TopKSAE(SparseAutoencoder):
    """TopK SAE over M atoms in d dimensions.

    Parameters held: ``atoms`` [M, d] (the decoder, unit rows), ``w_encoder`` [M, d], ``b_encoder`` [M], ``b_pre`` [d].
    """

    config: TopKConfig

    def __init__(self, config: TopKConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        atoms = torch.empty(config.n_atoms, config.d_model).normal_(generator=generator)
        self.atoms = nn.Parameter(atoms / atoms.norm(dim=1, keepdim=True))
        self.w_encoder = nn.Parameter(self.atoms.detach().clone())
        self.b_encoder = nn.Parameter(torch.zeros(config.n_atoms))
        self.b_pre = nn.Parameter(torch.zeros(config.d_model))

    def scores(self, x: Tensor) -> Tensor:
        return torch.addmm(self.b_encoder, self._normalise(x) - self.b_pre, self.w_encoder.T)

    @torch.no_grad()
    def directions(self) -> Tensor:
        return self.atoms * self.input_scale

    @torch.no_grad()
    def initialise(self, sample: Tensor, generator: torch.Generator) -> None:
        super().initialise(sample, generator)
        u = self._normalise(sample)
        self.b_pre.copy_(geometric_median(u[:32768]))
        if self.config.init != "random":
            atoms = draw_atoms(self.config.init, u - self.b_pre, self.config.n_atoms, generator)
            self.atoms.copy_(atoms)
            self.w_encoder.copy_(atoms)
            # Directions of tokens overlap, so K full projections overshoot: shrink them by least squares.
            u = u[:4096]
            mixed = self._decode(self._codes(u), None) - self.b_pre
            self.w_encoder.mul_(((u - self.b_pre) * mixed).sum() / mixed.square().sum().clamp_min(TINY))

    @torch.no_grad()
    def before_step(self) -> None:
        """Remove the part of the decoder's gradient that only changes lengths, which ``after_step`` would undo."""
        if self.atoms.grad is not None:
            self.atoms.grad -= (self.atoms.grad * self.atoms).sum(1, keepdim=True) * self.atoms

    @torch.no_grad()
    def after_step(self) -> None:
        """Bring the decoder directions back to unit length."""
        self.atoms.div_(self.atoms.norm(dim=1, keepdim=True).clamp_min(TINY))

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _codes(self, u: Tensor) -> SparseCodes:
        return topk_attention(u - self.b_pre, self.w_encoder, self.config.k, self.b_encoder)

    def _decode(self, codes: SparseCodes, norm: Tensor | None) -> Tensor:
        return sparse_decode(codes, self.atoms) + self.b_pre

    def _further_losses(self, u: Tensor, u_hat: Tensor) -> dict[str, Tensor]:
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
        auxiliary = error / (residual - residual.mean(0)).square().sum().clamp_min(TINY)
        # The paper zeroes the term when it is not a number, which happens at the start of training.
        return {"auxiliary": self.config.aux_weight * torch.nan_to_num(auxiliary, 0.0, 0.0, 0.0)}


def geometric_median(points: Tensor, iterations: int = 100, tolerance: float = 1e-6) -> Tensor:
    """The point of least summed distance to ``points`` [n, d], by Weiszfeld's iteration; float32 [d].

    Source: Weiszfeld, "Sur le point pour lequel la somme des distances de n points donnes est minimum", 1937.
    """
    median = points.mean(0)
    for _ in range(iterations):
        weights = 1 / (points - median).norm(dim=1).clamp_min(TINY)
        moved = (weights[:, None] * points).sum(0) / weights.sum()
        done = (moved - median).norm() <= tolerance * median.norm().clamp_min(TINY)
        median = moved
        if done:
            break
    return median
