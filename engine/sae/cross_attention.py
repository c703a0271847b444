"""What SAEs built on cross-attention share: one dictionary C between two d x d matrices that scores and reconstructs.

Source: "Improving Sparse Autoencoder with Dynamic Attention", arXiv 2604.14925, in the form of its published code:

    q = (u / ||u||) W_key^T,   z = q C^T,   a = some function of z,   u_hat = ||u|| (a C) W_value

C W_key^T and C W_value are never formed: by associativity the d x d matrices act on the N tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.sae.base import TINY, SAEConfig, SparseAutoencoder, option
from engine.sae.initialisation import Init, draw_atoms, kaiming_uniform
from kernels import linear, sparse_decode
from kernels.codes import SparseCodes


@dataclass(frozen=True, kw_only=True)
class CrossAttentionConfig(SAEConfig):
    """What the configs of these SAEs share."""

    init: Init = option("random", "data", "spread", default="random")
    """Where training starts: ``random`` is the Kaiming uniform of the published code; ``data`` takes M training tokens as
    atoms and identity matrices, with W_value scaled to fit the sample; ``spread`` does so with tokens chosen far from
    each other, see ``engine.sae.initialisation``."""


class CrossAttentionSAE(SparseAutoencoder):
    """Parameters held: ``atoms`` [M, d] (C), ``w_key`` [d, d], ``w_value`` [d, d]. Codes hold directions only: ``decode``
    wants the lengths of the tokens beside them.
    """

    config: CrossAttentionConfig

    def __init__(self, config: CrossAttentionConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        d = config.d_model
        # The published code draws C^T with Kaiming uniform, whose fan-in is then M.
        self.atoms = nn.Parameter(kaiming_uniform(config.n_atoms, d, fan_in=config.n_atoms, generator=generator))
        self.w_key = nn.Parameter(kaiming_uniform(d, d, fan_in=d, generator=generator))
        self.w_value = nn.Parameter(kaiming_uniform(d, d, fan_in=d, generator=generator))

    def norm(self, x: Tensor) -> Tensor | None:
        return self._norm(self._normalise(x))

    @torch.no_grad()
    def directions(self) -> Tensor:
        return (self.atoms @ self.w_value) * self.input_scale

    @torch.no_grad()
    def initialise(self, sample: Tensor, generator: torch.Generator) -> None:
        super().initialise(sample, generator)
        if self.config.init == "random":
            return
        u = self._normalise(sample)
        self.atoms.copy_(draw_atoms(self.config.init, u, self.config.n_atoms, generator))
        self.w_key.copy_(torch.eye(self.config.d_model))
        self.w_value.copy_(torch.eye(self.config.d_model))
        self._start_sparse(u)
        u = u[:4096]
        u_hat = self._decode(self._codes(u), self._norm(u))
        # The least-squares factor that brings the first reconstructions to the length of the tokens.
        self.w_value.mul_((u * u_hat).sum() / u_hat.square().sum().clamp_min(TINY))

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _start_sparse(self, u: Tensor) -> None:
        """Adjust the scores of a start from data to the tokens ``u`` of the sample."""

    def _queries(self, u: Tensor) -> Tensor:
        """Queries [N, d]: ``scores = queries @ atoms.T``."""
        return linear(u / u.norm(dim=1, keepdim=True).clamp_min(TINY), self.w_key)

    def _norm(self, u: Tensor) -> Tensor | None:
        return u.norm(dim=1)

    def _mixed(self, codes: SparseCodes) -> Tensor:
        """(a C) W_value."""
        return linear(sparse_decode(codes, self.atoms), self.w_value.T)

    def _decode(self, codes: SparseCodes, norm: Tensor | None) -> Tensor:
        return restored(self._mixed(codes), norm)


def restored(mixed: Tensor, norm: Tensor | None) -> Tensor:
    """Reconstructed directions [N, d] at the lengths ``norm`` [N].

    Raises
    ------
    InputError
        If there are no lengths.
    """
    if norm is None:
        raise InputError("Score codes hold directions only: give decode the lengths, decode(codes, sae.norm(x)).")
    return norm[:, None] * mixed
