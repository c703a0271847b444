"""SparseCodes: a batch of sparse codes in compressed sparse row (CSR) form.

Every SAE returns one, dense SAEs too, and nothing downstream ever holds the dense N x M matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SparseCodes:
    """N rows of codes over ``n_atoms`` atoms.

    Attributes
    ----------
    crow : int64 [N + 1]
        Row ``i`` owns entries ``crow[i]:crow[i + 1]``. 64 bits: N times the support size passes 2**31.
    col : int32 [nnz]
        Atom of each entry, strictly ascending inside a row.
    val : float32 [nnz]
        Activation of that atom. May carry a gradient.
    n_atoms : int
        M, the width of the dictionary.
    """

    crow: Tensor
    col: Tensor
    val: Tensor
    n_atoms: int

    def __len__(self) -> int:
        return self.crow.numel() - 1

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return self.col.numel()

    @property
    def l0(self) -> Tensor:
        """Support size of every row, int64 [N]."""
        return self.crow[1:] - self.crow[:-1]

    @property
    def row(self) -> Tensor:
        """Row of every entry, int64 [nnz]."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.crow.device), self.l0, output_size=self.nnz)

    def kept(self, keep: Tensor) -> SparseCodes:
        """The entries where ``keep``, bool [nnz], holds; gradients go on through their values."""
        if bool(keep.all()):
            return self
        before = torch.cat([self.crow.new_zeros(1), keep.cumsum(0)])
        return SparseCodes(before[self.crow], self.col[keep], self.val[keep], self.n_atoms)

    def detach(self) -> SparseCodes:
        """The same codes without their gradient history."""
        return SparseCodes(self.crow, self.col, self.val.detach(), self.n_atoms)

    def to(self, device: torch.device | str) -> SparseCodes:
        """The same codes on another device."""
        return SparseCodes(self.crow.to(device), self.col.to(device), self.val.to(device), self.n_atoms)

    def dense(self) -> Tensor:
        """The dense float32 [N, M] matrix: for tests and for single tokens, never for a batch of real size."""
        out = torch.zeros(len(self), self.n_atoms, dtype=self.val.dtype, device=self.val.device)
        return out.index_put((self.row, self.col.long()), self.val)
