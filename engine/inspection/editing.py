"""Editing sparse codes: keeping some entries and dropping the others."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.codes import SparseCodes


def keep(codes: SparseCodes, mask: Tensor) -> SparseCodes:
    """The codes with only the entries that ``mask``, bool [nnz], names; the rows stay, some may become empty."""
    before = torch.zeros(codes.nnz + 1, dtype=codes.crow.dtype, device=codes.crow.device)
    torch.cumsum(mask, 0, out=before[1:])
    return SparseCodes(before[codes.crow], codes.col[mask], codes.val[mask], codes.n_atoms)
