"""What SAEs with one linear encoder and one linear decoder share: parameters, start, and the length of their atoms.

    z = W_encoder (u - b_pre) + b_encoder,   a = some function of z,   u_hat = a C + b_pre

Start: encoder = decoder transposed, b_pre = the geometric median of the tokens, unit directions (Gao et al., arXiv
2406.04093, appendix A.1; Bricken et al. 2023, "Towards Monosemanticity", for the median).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.sae.base import TINY, Loss, SAEConfig, SparseAutoencoder, option
from engine.sae.initialisation import Init, draw_atoms, geometric_median
from kernels import linear, sparse_decode
from kernels.codes import SparseCodes

_SAMPLE = 4096
START_L0 = 32


@dataclass(frozen=True, kw_only=True)
class LinearConfig(SAEConfig):
    """What the configs of these SAEs share."""

    loss: Loss = option("published", "nmse", default="nmse")
    """Reconstruction loss. ``nmse`` is the squared error of the papers, divided by the variance of the batch: the weights
    of the other terms then mean the same for activations of any size."""

    init: Init = option("random", "data", "spread", default="random")
    """Directions that training starts from: ``random`` ones as in the papers, or those of training tokens, see
    ``engine.sae.initialisation``."""


class LinearSAE(SparseAutoencoder):
    """Linear encoder and decoder over M atoms in d dimensions.

    Parameters held: ``atoms`` [M, d] (the decoder), ``w_encoder`` [M, d], ``b_encoder`` [M], ``b_pre`` [d].
    """

    config: LinearConfig
    unit_atoms: ClassVar[bool] = True
    """Whether the decoder directions are kept at length 1."""

    def __init__(self, config: LinearConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        atoms = torch.empty(config.n_atoms, config.d_model).normal_(generator=generator)
        self.atoms = nn.Parameter(atoms / atoms.norm(dim=1, keepdim=True))
        self.w_encoder = nn.Parameter(self.atoms.detach().clone())
        self.b_encoder = nn.Parameter(torch.zeros(config.n_atoms))
        self.b_pre = nn.Parameter(torch.zeros(config.d_model))

    def scores(self, x: Tensor) -> Tensor:
        return linear(self._normalise(x) - self.b_pre, self.w_encoder, self.b_encoder)

    @torch.no_grad()
    def directions(self) -> Tensor:
        return self.atoms * self.input_scale

    @torch.no_grad()
    def initialise(self, sample: Tensor, generator: torch.Generator) -> None:
        super().initialise(sample, generator)
        u = self._normalise(sample)
        self.b_pre.copy_(geometric_median(u[:32768]))
        self._measure(u - self.b_pre)
        if self.config.init != "random":
            atoms = draw_atoms(self.config.init, u - self.b_pre, self.config.n_atoms, generator)
            self.atoms.copy_(atoms)
            self.w_encoder.copy_(atoms)
            u = u[:_SAMPLE]
            self._start_sparse(u - self.b_pre)
            # Directions of tokens overlap, so full projections overshoot: shrink them by least squares.
            mixed = self._decode(self._codes(u), None) - self.b_pre
            self._stretch(float(((u - self.b_pre) * mixed).sum() / mixed.square().sum().clamp_min(TINY)))

    @torch.no_grad()
    def before_step(self) -> None:
        """Remove the part of the decoder's gradient that only changes lengths, which ``after_step`` would undo."""
        if self.unit_atoms and self.atoms.grad is not None:
            self.atoms.grad -= (self.atoms.grad * self.atoms).sum(1, keepdim=True) * self.atoms

    @torch.no_grad()
    def after_step(self) -> None:
        """Bring the decoder directions back to unit length."""
        if self.unit_atoms:
            self.atoms.div_(self.atoms.norm(dim=1, keepdim=True).clamp_min(TINY))

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _measure(self, centred: Tensor) -> None:
        """Measure what training needs to know on ``centred``, u - b_pre of the sample."""

    def _start_sparse(self, centred: Tensor) -> None:
        """Set what keeps the first codes of a start from data sparse, where the architecture does not do so itself."""

    def _stretch(self, factor: float) -> None:
        """Multiply all codes by ``factor`` and change nothing else."""
        self.w_encoder.mul_(factor)
        self.b_encoder.mul_(factor)

    def _decode(self, codes: SparseCodes, norm: Tensor | None) -> Tensor:
        return sparse_decode(codes, self.atoms) + self.b_pre


@torch.no_grad()
def sparse_start(queries: Tensor, encoder: Tensor) -> Tensor:
    """For every atom the score [M] that ``START_L0`` atoms per token exceed on average, each atom equally often.

    Ours, for starts from data: of M projections on centred tokens half are positive, and training would spend its first
    thousand steps on getting rid of them.
    """
    share = min(START_L0 / len(encoder), 0.25)
    rank = max(1, round(share * len(queries)))
    return torch.cat([linear(queries, rows).topk(rank, dim=0).values[-1] for rows in encoder.split(4096)])
