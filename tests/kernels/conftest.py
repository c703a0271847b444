"""Oracles of the kernels: dense, by full sort, in float64, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kernels import Support


def dense_sparsemax(scores: Tensor) -> Tensor:
    """sparsemax of every row by the textbook sort, in float64: [N, M]. Autograd gives its exact Jacobian."""
    z = scores.double()
    z = z - z.detach().amax(dim=1, keepdim=True)  # sparsemax does not change under a shift of the row
    ordered = z.detach().sort(dim=1, descending=True).values.clamp(min=-9.0)  # 1 under the largest nothing wins
    rank = torch.arange(1, z.shape[1] + 1, dtype=torch.float64)
    size = (1 + rank * ordered > ordered.cumsum(dim=1)).sum(dim=1, keepdim=True)
    inside = z >= ordered.gather(1, size - 1)
    tau = (torch.where(inside, z, 0.0).sum(dim=1, keepdim=True) - 1) / inside.sum(dim=1, keepdim=True)
    return torch.where(inside, z - tau, 0.0)


def assert_is_support(support: Support, scores: Tensor) -> None:
    """The support is that of a float64 sort: columns ascending, |dp| <= 1e-6, differing only where p <= 1e-6, sums 1."""
    n_rows, n_atoms = scores.shape
    assert support.crow.dtype == torch.int64
    assert support.col.dtype == torch.int32
    assert support.z.dtype == support.p.dtype == support.tau.dtype == torch.float32
    assert len(support.crow) == n_rows + 1
    assert int(support.crow[0]) == 0
    assert int(support.crow[-1]) == len(support.col) == len(support.z) == len(support.p)
    crow, col, z, p, tau = (t.cpu() for t in (support.crow, support.col, support.z, support.p, support.tau))
    scores = scores.detach().cpu()
    row = torch.repeat_interleave(torch.arange(n_rows), crow.diff())
    assert bool((torch.diff(row * n_atoms + col) > 0).all()), "columns must ascend inside a row"
    assert torch.equal(z, scores[row, col.long()].float())

    want = dense_sparsemax(scores) if n_rows else scores.double()
    got = torch.zeros_like(want).index_put((row, col.long()), p.double())
    assert float((got - want).abs().max()) <= 1e-6 if n_rows else True
    extra = (got > 0) != (want > 0)
    assert bool((torch.maximum(got, want)[extra] <= 1e-6).all())
    torch.testing.assert_close(got.sum(dim=1), torch.ones(n_rows, dtype=torch.float64), atol=1e-5, rtol=0)
    if n_rows:
        top = scores.double().amax(dim=1)
        want_tau = torch.where(want > 0, scores.double() - want, -torch.inf).amax(dim=1)
        assert bool(((tau.double() - want_tau).abs() <= 1e-6 + 1e-7 * top.abs()).all())


@pytest.fixture(scope="session", name="dense_sparsemax")
def _dense_sparsemax() -> Callable[[Tensor], Tensor]:
    return dense_sparsemax


@pytest.fixture(scope="session", name="assert_is_support")
def _assert_is_support() -> Callable[[Support, Tensor], None]:
    return assert_is_support


@pytest.fixture
def awkward_rows() -> dict[str, Tensor]:
    """Matrices on which a threshold search goes wrong when it can."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    one_hot = torch.full((3, 600), -5.0)
    one_hot[torch.arange(3), torch.tensor([0, 299, 599])] = 5.0
    masked = normal(6, 900)
    masked[:, ::3] = -torch.inf
    lonely = torch.full((2, 77), -torch.inf)
    lonely[0, 76], lonely[1, 0] = -3.0, 1e30
    tied = normal(5, 512)
    tied[:, 100:140] = tied.amax(dim=1, keepdim=True)
    at_threshold = torch.zeros(2, 40)  # the largest is exactly 1 above the rest: they sit on the threshold
    at_threshold[:, 7] = 1.0
    return {
        "plain": normal(9, 1000),
        "wide support": normal(4, 3000) * 1e-3,
        "everything wins": torch.linspace(0, 1e-4, 700).repeat(2, 1),
        "constant": torch.full((3, 513), 0.25),
        "one hot": one_hot,
        "all negative": normal(4, 800) - 50,
        "far from zero": normal(4, 800) + 3e4,
        "huge": normal(4, 800) * 1e20,
        "tiny": normal(3, 800) * 1e-30,
        "masked": masked,
        "one atom left": lonely,
        "ties on top": tied,
        "ties on the threshold": at_threshold,
        "one column": normal(4, 1),
        "two columns": normal(4, 2),
        "a column more than the groups": normal(4, 257),
        "not a multiple of anything": normal(3, 8191),
        "one row": normal(1, 333),
        "no rows": normal(0, 333),
        "more than 16 bits of columns": normal(2, 70_001),
    }
