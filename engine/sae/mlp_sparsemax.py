"""The second ablation of the sparsemax SAE: a plain linear encoder with the support of sparsemax.

Source: "Improving Sparse Autoencoder with Dynamic Attention", arXiv 2604.14925, which names the ablation ("MLP + sparsemax") and
leaves its details open. Ours change one thing only: encoder and decoder are two free tables, where the full model has one
dictionary between two d x d matrices. Everything else is as in its published code (``values = "score"``):

    z = scale (u / ||u||) W_encoder^T,   a = z on the support of sparsemax(z),   u_hat = ||u|| a C
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.sae.base import TINY, SAEConfig, SparseAutoencoder, option
from engine.sae.cross_attention import restored
from engine.sae.initialisation import Init, draw_atoms, kaiming_uniform
from kernels import linear, sparse_attention_with_threshold, sparse_decode
from kernels.codes import SparseCodes


@dataclass(frozen=True, kw_only=True)
class MLPSparsemaxConfig(SAEConfig):
    """Config of an ``MLPSparsemaxSAE``."""

    architecture: ClassVar[str] = "mlp-sparsemax"

    scale: float = 1.0
    """Factor on the scores, the hidden knob of sparsity: larger means fewer active atoms."""

    init: Init = option("random", "data", "spread", default="random")
    """Where training starts: ``random`` draws both tables with Kaiming uniform; ``data`` and ``spread`` take training
    tokens for both, see ``engine.sae.initialisation``, and scale the decoder to fit the sample."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(math.isfinite(self.scale) and self.scale > 0, "scale must be positive")


class MLPSparsemaxSAE(SparseAutoencoder):
    """Linear encoder + sparsemax SAE. Parameters held: ``atoms`` [M, d] (the decoder) and ``w_encoder`` [M, d]."""

    config: MLPSparsemaxConfig

    def __init__(self, config: MLPSparsemaxConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        shape = config.n_atoms, config.d_model
        self.atoms = nn.Parameter(kaiming_uniform(*shape, fan_in=config.n_atoms, generator=generator))
        self.w_encoder = nn.Parameter(kaiming_uniform(*shape, fan_in=config.d_model, generator=generator))

    def encode_with_threshold(self, x: Tensor) -> tuple[SparseCodes, Tensor]:
        """Codes and tau [N], the score an atom must exceed to be active."""
        return sparse_attention_with_threshold(self._queries(self._normalise(x)), self.w_encoder)

    def scores(self, x: Tensor) -> Tensor:
        return linear(self._queries(self._normalise(x)), self.w_encoder)

    def norm(self, x: Tensor) -> Tensor | None:
        return self._norm(self._normalise(x))

    @torch.no_grad()
    def directions(self) -> Tensor:
        return self.atoms * self.input_scale

    @torch.no_grad()
    def initialise(self, sample: Tensor, generator: torch.Generator) -> None:
        super().initialise(sample, generator)
        if self.config.init == "random":
            return
        u = self._normalise(sample)
        atoms = draw_atoms(self.config.init, u, self.config.n_atoms, generator)
        self.atoms.copy_(atoms)
        self.w_encoder.copy_(atoms)
        u = u[:4096]
        u_hat = self._decode(self._codes(u), self._norm(u))
        # The least-squares factor that brings the first reconstructions to the length of the tokens.
        self.atoms.mul_((u * u_hat).sum() / u_hat.square().sum().clamp_min(TINY))

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _queries(self, u: Tensor) -> Tensor:
        return self.config.scale * u / u.norm(dim=1, keepdim=True).clamp_min(TINY)

    def _codes(self, u: Tensor) -> SparseCodes:
        return sparse_attention_with_threshold(self._queries(u), self.w_encoder)[0]

    def _norm(self, u: Tensor) -> Tensor | None:
        return u.norm(dim=1)

    def _decode(self, codes: SparseCodes, norm: Tensor | None) -> Tensor:
        return restored(sparse_decode(codes, self.atoms), norm)
