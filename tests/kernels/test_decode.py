"""Sparse decode: both routes against the dense product, the transpose, and the gradients of value and table."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import kernels.decode
from kernels import SparseCodes, sparse_decode
from kernels.decode import gather_dots, gather_sum, transposed


def random_codes(n: int, m: int, density: float, seed: int = 0) -> SparseCodes:
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(n, m, generator=generator) * (torch.rand(n, m, generator=generator) < density)
    row, col = dense.nonzero(as_tuple=True)
    crow = torch.zeros(n + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(row, minlength=n), 0, out=crow[1:])
    return SparseCodes(crow, col.int(), dense[row, col], m)


@given(
    n=st.integers(1, 40),
    m=st.integers(1, 60),
    d=st.integers(1, 33),
    density=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_decode_is_the_dense_product(n: int, m: int, d: int, density: float, seed: int) -> None:
    codes = random_codes(n, m, density, seed)
    table = torch.randn(m, d, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(sparse_decode(codes, table), codes.dense() @ table, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("density", [0.02, 0.9])
def test_gradients_of_values_and_table(density: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.9 takes the dense route, in several chunks."""
    monkeypatch.setattr(kernels.decode, "CHUNK_BYTES", 3 * 20 * 8)
    codes = random_codes(8, 20, density)
    val = codes.val.double().requires_grad_()
    table = torch.randn(20, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v, t: sparse_decode(SparseCodes(codes.crow, codes.col, v, 20), t), (val, table)
    )


def test_both_routes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = random_codes(64, 80, 0.5)
    table = torch.randn(80, 17)
    monkeypatch.setitem(kernels.decode.DENSE_FROM, "cpu", 2.0)
    gathered = gather_sum(codes.crow, codes.col, codes.val, table)
    monkeypatch.setitem(kernels.decode.DENSE_FROM, "cpu", 0.0)
    torch.testing.assert_close(gather_sum(codes.crow, codes.col, codes.val, table), gathered, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("density", "dense"), [(0.02, False), (0.15, False), (0.3, True), (1.0, True)])
def test_the_route_follows_the_non_zeros(density: float, dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    whole = kernels.decode.dense_gather_sum
    monkeypatch.setattr(kernels.decode, "dense_gather_sum", lambda *given: taken.append(True) or whole(*given))
    codes = random_codes(100, 200, density)
    gather_sum(codes.crow, codes.col, codes.val, torch.randn(200, 5))
    assert bool(taken) == dense


def test_compiled_and_plain_pieces_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, left, table = random_codes(90, 70, 0.2), torch.randn(90, 13), torch.randn(70, 13)
    dots, by_atom = gather_dots(codes, left, table), transposed(codes)
    monkeypatch.setattr(kernels.decode, "installed", lambda package: False)
    plain = transposed(codes)
    torch.testing.assert_close(gather_dots(codes, left, table), dots)
    for one, other in zip((by_atom.crow, by_atom.col, by_atom.val), (plain.crow, plain.col, plain.val), strict=True):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype


@given(n=st.integers(1, 30), m=st.integers(1, 30), seed=st.integers(0, 99))
def test_transposing_twice_is_where_we_started(n: int, m: int, seed: int) -> None:
    codes = random_codes(n, m, 0.2, seed)
    by_atom = transposed(codes)
    assert torch.equal(by_atom.dense(), codes.dense().T)
    back = transposed(by_atom)
    assert torch.equal(back.crow, codes.crow)
    assert torch.equal(back.col, codes.col)
    assert torch.equal(back.val, codes.val)


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the table must be \[50, d\]"):
        sparse_decode(random_codes(3, 50, 0.1), torch.zeros(49, 4))
