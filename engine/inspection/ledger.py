"""The ledger of a token: the contribution of every atom to its reconstruction, the base, and the error that is left.

    x = base + sum over the support of contributions + error

Every architecture here decodes by a sum over atoms, so the ledger is exact; only rounding is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from kernels.codes import SparseCodes

if TYPE_CHECKING:
    from engine.sae import SparseAutoencoder


class Ledger(NamedTuple):
    """Ledgers of N tokens, in the space of x.

    Attributes
    ----------
    codes : SparseCodes
        Who takes part: the entries are in the order of ``contributions``.
    base : float32 [N, d]
        What the decoder puts out for empty codes: its biases and the mean of the input normalisation.
    contributions : float32 [nnz, d]
        Activation (times the token's length, where the SAE codes directions) times the atom's decoder direction.
    error : float32 [N, d]
        x less its reconstruction.
    """

    codes: SparseCodes
    base: Tensor
    contributions: Tensor
    error: Tensor

    @property
    def total(self) -> Tensor:
        """base + sum of contributions + error: x again, float32 [N, d], summed in float64."""
        total = self.base.double() + self.error.double()
        return total.index_add(0, self.codes.row, self.contributions.double()).float()


@torch.no_grad()
def ledger(sae: SparseAutoencoder, x: Tensor) -> Ledger:
    """The ledger of tokens ``x`` [N, d]. For a few tokens: it holds nnz x d numbers."""
    codes, norm = sae.encode(x), sae.norm(x)
    nothing = codes.kept(torch.zeros_like(codes.col, dtype=torch.bool))
    weights = codes.val if norm is None else codes.val * norm[codes.row]
    contributions = weights[:, None] * sae.directions()[codes.col.long()]
    return Ledger(codes, sae.decode(nothing, norm), contributions, x - sae.decode(codes, norm))
