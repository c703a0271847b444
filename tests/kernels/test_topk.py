"""Top-k codes, row by row and over a batch, against torch.topk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernels import batch_topk_codes, topk_codes
from kernels.dispatch import Backend


@settings(max_examples=20)
@given(
    rows=arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 600)), elements=st.floats(-9, 9, width=16)),
    share=st.floats(0.01, 1.0),
)
def test_the_k_largest_win(rows: np.ndarray, share: float) -> None:
    """Few distinct values, so ties are common: the winners' values are then still one and the same multiset."""
    scores = torch.from_numpy(rows)
    k = max(1, int(share * scores.shape[1]))
    want = scores.topk(k, dim=1).values
    for backend in ("numba", "torch"):
        codes = topk_codes(scores, k, backend)  # type: ignore[arg-type]
        assert bool((codes.l0 == k).all())
        columns = codes.col.view(-1, k)
        assert bool((columns.diff(dim=1) > 0).all())
        assert torch.equal(codes.val.view(-1, k).sort(dim=1, descending=True).values, want)
        assert torch.equal(codes.val, scores[codes.row, codes.col.long()])


@pytest.mark.parametrize("backend", ["numba", "torch", "reference"])
@pytest.mark.parametrize("k", [1, 32, 700, 5000])
def test_every_backend_and_size(backend: Backend, k: int) -> None:
    scores = torch.randn(40, 5000, generator=torch.Generator().manual_seed(0))
    codes = topk_codes(scores, k, backend)
    assert torch.equal(codes.col.view(40, k).long(), scores.topk(k, dim=1).indices.sort(dim=1).values)


def test_of_equal_scores_the_lowest_atoms_win() -> None:
    codes = topk_codes(torch.zeros(3, 1000), 4, "numba")
    assert codes.col.view(3, 4).tolist() == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_masked_atoms_and_bad_scores(backend: Backend) -> None:
    scores = torch.randn(4, 400)
    scores[:, 10:] = -torch.inf
    assert bool((topk_codes(scores, 10, backend).col < 10).all())
    with pytest.raises(ValueError, match="NaN or infinite"):
        topk_codes(scores, 11, backend)
    for value in (float("nan"), float("inf")):
        scores = torch.randn(4, 400)
        scores[2, 123] = value
        with pytest.raises(ValueError, match="NaN or infinite"):
            topk_codes(scores, 5, backend)


@pytest.mark.parametrize("k", [0, -1, 401])
def test_k_out_of_range(k: int) -> None:
    for function in (topk_codes, batch_topk_codes):
        with pytest.raises(ValueError, match="k must lie between 1 and the number of atoms, 400"):
            function(torch.zeros(2, 400), k)


@given(n=st.integers(1, 12), m=st.integers(1, 80), seed=st.integers(0, 99))
def test_batch_topk_takes_the_largest_of_the_batch(n: int, m: int, seed: int) -> None:
    scores = torch.randn(n, m, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    k = 1 + seed % m
    codes = batch_topk_codes(scores, k)
    assert codes.nnz == n * k
    kept = codes.dense() != 0
    if n * k < n * m:
        assert bool(scores[kept].min() >= scores[~kept].max())
    codes.val.sum().backward()
    assert scores.grad is not None
    assert torch.equal(scores.grad, kept.float())
