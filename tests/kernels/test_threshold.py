"""Scores above a threshold, and the winners of a whole batch, taken in chunks of rows."""

from __future__ import annotations

import pytest
import torch

import kernels.attention
from kernels import batch_topk_attention, batch_topk_codes, threshold_attention
from kernels.threshold import threshold_support


def factors(n: int = 50, m: int = 150, d: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(*shape, generator=generator) for shape in ((n, d), (m, d), (m,)))  # type: ignore[return-value]


@pytest.fixture(params=[1, 7, 64])
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of this many rows, so that a test of 50 rows meets borders."""
    monkeypatch.setitem(kernels.attention.CHUNK_BYTES, "cpu", request.param * 150 * 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # the compiled way and torch's
def test_what_exceeds_its_threshold_is_kept(chunked: None, dtype: torch.dtype) -> None:
    q, atoms, bias = (each.to(dtype) for each in factors())
    threshold = bias.roll(1)
    codes = threshold_attention(q, atoms, threshold, bias)
    scores = q @ atoms.T + bias
    torch.testing.assert_close(codes.dense(), torch.where(scores > threshold, scores, 0.0))
    ascending = codes.col.diff() > 0
    assert bool((ascending | (codes.row.diff() > 0)).all())
    relu = threshold_attention(q, atoms)
    torch.testing.assert_close(relu.dense(), (q @ atoms.T).relu())


def test_a_score_at_its_threshold_is_left_out_and_rows_may_be_empty() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    for dtype in (torch.float32, torch.float64):
        support = threshold_support(scores.to(dtype), torch.tensor([1.0, 1.0, 3.0], dtype=dtype))
        assert support.crow.tolist() == [0, 1, 1] and support.col.tolist() == [1] and support.p.tolist() == [1.0]
    assert threshold_attention(torch.zeros(0, 4), torch.ones(8, 4)).crow.tolist() == [0]


def test_gradients_are_those_of_the_dense_relu() -> None:
    leaves = [each.double().requires_grad_() for each in factors()]
    weights = torch.randn(50, 150, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q, atoms, bias = leaves
    want = torch.autograd.grad(((q @ atoms.T + bias).relu() * weights).sum(), leaves)
    codes = threshold_attention(q, atoms, 0.0, bias)
    got = torch.autograd.grad((codes.val * weights[codes.row, codes.col.long()]).sum(), leaves)
    for one, two in zip(got, want, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_that_are_no_numbers_are_refused(value: float, dtype: torch.dtype) -> None:
    scores = torch.zeros(3, 100, dtype=dtype)
    scores[1, 97] = value
    with pytest.raises(ValueError, match=r"NaN or (infinite|\+inf)"):
        threshold_support(scores, torch.ones(100, dtype=dtype))


def test_thresholds_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold must be a number or"):
        threshold_attention(torch.ones(2, 4), torch.ones(8, 4), torch.ones(7))


@pytest.mark.parametrize("k", [1, 5, 140, 150])
def test_the_winners_of_a_batch_are_those_of_its_dense_scores(chunked: None, k: int) -> None:
    q, atoms, bias = factors()
    codes = batch_topk_attention(q, atoms, k, bias)
    want = batch_topk_codes(q @ atoms.T + bias, k)
    assert torch.equal(codes.crow, want.crow) and torch.equal(codes.col, want.col)
    torch.testing.assert_close(codes.val, want.val)


def test_winners_of_a_batch_at_the_edges() -> None:
    q, atoms, _ = factors()
    assert len(batch_topk_attention(q[:0], atoms, 3)) == 0
    ties = batch_topk_attention(torch.zeros(6, 12), atoms, 4)
    assert ties.nnz == 24 and bool((ties.val == 0).all())
    with pytest.raises(ValueError, match="k must lie between"):
        batch_topk_attention(q, atoms, 0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        batch_topk_attention(torch.full((3, 12), float("nan")), atoms, 2)
