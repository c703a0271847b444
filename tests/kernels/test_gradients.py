"""Gradients through the support: float64 gradcheck, dense autograd, the published code, and repeatability."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kernels import sparse_attention, sparse_decode, sparsemax_codes, topk_attention, topk_codes
from kernels.rows import Values

MODES: list[Values] = ["score", "probability"]


def leaf(*shape: int, seed: int, dtype: torch.dtype = torch.float64, factor: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * factor).to(dtype).requires_grad_()


@pytest.mark.parametrize("values", MODES)
def test_gradcheck_of_codes(values: Values) -> None:
    scores = leaf(5, 30, seed=0)
    assert torch.autograd.gradcheck(lambda s: sparsemax_codes(s, values).dense(), (scores,))


@pytest.mark.parametrize("values", MODES)
def test_gradcheck_of_attention_and_decode(values: Values) -> None:
    q, atoms, table = leaf(5, 4, seed=1), leaf(30, 4, seed=2), leaf(30, 3, seed=3)
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    masked = torch.arange(30) % 7 == 0

    def attend(q: Tensor, atoms: Tensor, table: Tensor, scale: Tensor) -> Tensor:
        return sparse_decode(sparse_attention(q, atoms, values, scale, masked), table)

    assert torch.autograd.gradcheck(attend, (q, atoms, table, scale))


def test_gradcheck_of_topk() -> None:
    q, atoms, bias = leaf(5, 4, seed=1), leaf(30, 4, seed=2), leaf(30, seed=3)
    assert torch.autograd.gradcheck(lambda q, a, b: topk_attention(q, a, 6, b).dense(), (q, atoms, bias))
    assert torch.autograd.gradcheck(lambda s: topk_codes(s, 6).dense(), (leaf(5, 30, seed=4),))


@pytest.mark.parametrize("values", MODES)
def test_codes_match_dense_autograd(values: Values, dense_sparsemax: Callable[[Tensor], Tensor]) -> None:
    scores = leaf(40, 600, seed=5, dtype=torch.float32, factor=0.2)
    weight = torch.randn(40, 600, generator=torch.Generator().manual_seed(6))
    codes = sparsemax_codes(scores, values)
    (codes.dense() * weight).sum().backward()

    twin = scores.detach().double().requires_grad_()
    p = dense_sparsemax(twin)
    dense = p if values == "probability" else twin * (p > 0)
    (dense * weight).sum().backward()
    torch.testing.assert_close(codes.dense().double(), dense, atol=1e-6, rtol=1e-6)
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad.double(), twin.grad, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("values", MODES)
def test_attention_matches_dense_autograd(values: Values, dense_sparsemax: Callable[[Tensor], Tensor]) -> None:
    """float32, rows and atoms enough for several row ranges; the oracle holds everything dense in float64."""
    n, m, d = 200, 900, 48
    q, atoms = leaf(n, d, seed=7, dtype=torch.float32), leaf(m, d, seed=8, dtype=torch.float32)
    table = leaf(m, 20, seed=9, dtype=torch.float32)
    scale = torch.tensor(0.1, requires_grad=True)
    target = torch.randn(n, 20, generator=torch.Generator().manual_seed(10))
    out = sparse_decode(sparse_attention(q, atoms, values, scale), table)
    (out * target).sum().backward()

    q64, atoms64, table64, scale64 = (t.detach().double().requires_grad_() for t in (q, atoms, table, scale))
    z = scale64 * q64 @ atoms64.T
    p = dense_sparsemax(z)
    dense = (p if values == "probability" else z * (p > 0)) @ table64
    (dense * target).sum().backward()
    torch.testing.assert_close(out.double(), dense, atol=1e-4, rtol=1e-4)
    for single, double in ((q, q64), (atoms, atoms64), (table, table64), (scale, scale64)):
        assert single.grad is not None
        assert double.grad is not None
        error = (single.grad.double() - double.grad).norm() / double.grad.norm()
        assert float(error) < 1e-5


def test_the_published_forward_and_backward(dense_sparsemax: Callable[[Tensor], Tensor]) -> None:
    """Score mode of the published code: gate = (sparsemax(z) > 0), out = ||x|| ((z * gate) C) W_v."""
    n, m, d = 60, 500, 24
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(11))
    parameters = [leaf(*shape, seed=12 + i) for i, shape in enumerate([(m, d), (d, d), (d, d)])]
    norm = x.norm(dim=1, keepdim=True)

    c, w_k, w_v = parameters
    z = (x.double() / norm) @ w_k.T @ c.T
    gate = (dense_sparsemax(z) > 0).detach()
    want = norm * ((z * gate) @ c @ w_v)
    (10 * (want - x).square() / norm).mean().backward()

    c32, w_k32, w_v32 = (t.detach().float().requires_grad_() for t in parameters)
    codes = sparse_attention((x / norm) @ w_k32.T, c32)
    got = norm * (sparse_decode(codes, c32) @ w_v32)
    (10 * (got - x).square() / norm).mean().backward()
    assert torch.equal(codes.dense() != 0, gate)
    torch.testing.assert_close(got.double(), want, atol=1e-3, rtol=1e-4)
    for single, double in zip((c32, w_k32, w_v32), parameters, strict=True):
        assert single.grad is not None
        assert double.grad is not None
        assert float((single.grad.double() - double.grad).norm() / double.grad.norm()) < 1e-5


def test_gradients_repeat_bit_for_bit() -> None:
    def gradients() -> list[Tensor]:
        q, atoms = leaf(500, 32, seed=20, dtype=torch.float32), leaf(700, 32, seed=21, dtype=torch.float32)
        table = leaf(700, 40, seed=22, dtype=torch.float32)
        sparse_decode(sparse_attention(q, atoms, "probability", 0.2), table).square().sum().backward()
        return [t.grad for t in (q, atoms, table) if t.grad is not None]

    first = gradients()
    assert len(first) == 3
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(first, gradients(), strict=True))


def test_only_winners_get_a_gradient() -> None:
    q, atoms = leaf(8, 16, seed=30, dtype=torch.float32), leaf(300, 16, seed=31, dtype=torch.float32)
    codes = sparse_attention(q, atoms)
    codes.val.sum().backward()
    assert atoms.grad is not None
    winners = torch.zeros(300, dtype=torch.bool)
    winners[codes.col.long()] = True
    assert bool((atoms.grad.abs().sum(dim=1) > 0).eq(winners).all())
