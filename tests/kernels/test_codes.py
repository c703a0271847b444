"""Editing codes against the dense matrix."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels.codes import SparseCodes


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), max_size=6), st.integers(0, 2**31))
def test_kept_is_masking_the_dense_matrix(support: list[list[bool]], seed: int) -> None:
    active = torch.tensor(support, dtype=torch.bool).view(-1, 5)
    generator = torch.Generator().manual_seed(seed)
    row, col = active.nonzero(as_tuple=True)
    crow = torch.cat([torch.zeros(1, dtype=torch.int64), active.sum(1).cumsum(0)])
    codes = SparseCodes(crow, col.int(), torch.rand(len(col), generator=generator) + 1, 5)
    mask = torch.rand(len(col), generator=generator) < 0.5
    wanted = codes.dense()
    wanted[row[~mask], col[~mask]] = 0
    kept = codes.kept(mask)
    assert torch.equal(kept.dense(), wanted) and len(kept) == len(codes) and kept.nnz == int(mask.sum())
    assert torch.equal(kept.l0, (wanted != 0).sum(1))
