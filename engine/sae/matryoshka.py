"""The Matryoshka SAE: a BatchTopK SAE whose first atoms must reconstruct the token on their own.

Source: Bussmann et al., "Learning Multi-Level Features with Matryoshka Sparse Autoencoders", arXiv 2503.17547.
Dictionaries of growing size m_1 < ... < m_n = M are prefixes of one another, and the loss adds up theirs:

    loss = sum over i of ||u - (a[:m_i] C[:m_i] + b_pre)||^2 + auxiliary

Early atoms are thus kept general and later ones specific. Codes and threshold are those of BatchTopK over all M atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from engine.sae.auxiliary import AuxiliaryConfig
from engine.sae.base import token_weights
from engine.sae.batch import BatchStatistics
from engine.sae.batchtopk import BatchTopKSAE
from kernels import sparse_decode
from kernels.codes import SparseCodes


@dataclass(frozen=True, kw_only=True)
class MatryoshkaConfig(AuxiliaryConfig):
    """Config of a ``MatryoshkaSAE``."""

    architecture: ClassVar[str] = "matryoshka"

    prefixes: int = 5
    """n, the nested dictionaries. Each adds twice as many atoms as the one before, and the last the rest: with 5, as in
    the paper, the sizes are 1/32, 3/32, 7/32 and 15/32 of M, and M."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            isinstance(self.prefixes, int) and self.prefixes >= 1 and 2**self.prefixes <= self.n_atoms,
            "prefixes must be at least 1 and the smallest prefix must hold an atom",
        )

    @property
    def sizes(self) -> list[int]:
        """m_1 .. m_n."""
        shares = [(2**i - 1) / 2**self.prefixes for i in range(1, self.prefixes)]
        return [int(share * self.n_atoms) for share in shares] + [self.n_atoms]


class MatryoshkaSAE(BatchTopKSAE):
    """Matryoshka BatchTopK SAE over M atoms in d dimensions; parameters and threshold as in ``BatchTopKSAE``."""

    config: MatryoshkaConfig

    def _pass(self, u: Tensor, batch: BatchStatistics) -> tuple[SparseCodes, Tensor, dict[str, Tensor]]:
        """The loss of the whole dictionary is the ``reconstruction``; those of the shorter prefixes are ``nested``."""
        codes = self._codes(u)
        self._count(codes, batch)
        nested, u_hat = _Nested.apply(self._parts(codes), self.b_pre, u, token_weights(u, self.config.loss, batch))
        return codes, u_hat, self._further_losses(u, codes, u_hat, batch) | {"nested": nested}

    def _parts(self, codes: SparseCodes) -> Tensor:
        """What the atoms that each prefix adds contribute, [N, n, d].

        Each entry is gathered once: a token's codes are cut into one row for each part of the dictionary.
        """
        sizes = self.config.sizes
        edges = torch.tensor(sizes[:-1], dtype=codes.col.dtype, device=codes.col.device)
        rows = codes.row * len(sizes) + torch.bucketize(codes.col, edges, right=True)
        starts = torch.arange(len(codes) * len(sizes) + 1, device=rows.device)
        cut = SparseCodes(torch.searchsorted(rows, starts), codes.col, codes.val, codes.n_atoms)
        return sparse_decode(cut, self.atoms).view(len(codes), len(sizes), -1)


class _Nested(torch.autograd.Function):
    """From parts [N, n, d], a bias [d], tokens [N, d] and their weights [N]: the summed loss of all prefixes but the whole,
    and the reconstruction by the whole. One pass over the n reconstructions forward and one backward.
    """

    @staticmethod
    def forward(ctx: Any, parts: Tensor, bias: Tensor, u: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        count = parts.shape[1]
        errors = parts.new_empty(parts.shape[0], count - 1, parts.shape[2])
        before = bias - u
        for i in range(count - 1):
            before = torch.add(before, parts[:, i], out=errors[:, i])
        ctx.save_for_backward(errors, weights)
        squared = torch.linalg.vector_norm(errors, dim=(1, 2)).square() if errors.numel() else weights * 0
        return (weights * squared).sum(), before + parts[:, -1] + u

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        errors, weights = ctx.saved_tensors
        count = errors.shape[1] + 1
        out = errors.new_empty(errors.shape[0], count, errors.shape[2])
        out[:, -1] = grads[1]
        factor = (2 * grads[0] * weights)[:, None]
        for i in range(count - 2, -1, -1):
            torch.addcmul(out[:, i + 1], errors[:, i], factor, out=out[:, i])
        return out, out[:, 0].sum(0), None, None
