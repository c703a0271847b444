"""Triton row support: awkward rows, the fallback against the quick path, and rows without a support."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kernels import Support, sparsemax_support
from kernels.gpu import row_support
from kernels.gpu import support as driver


def test_awkward_rows(
    device: torch.device,
    awkward_rows: dict[str, Tensor],
    assert_is_support: Callable[[Support, Tensor], None],
) -> None:
    for name, scores in awkward_rows.items():
        try:
            assert_is_support(sparsemax_support(scores.to(device), "triton"), scores)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


@pytest.mark.parametrize("scale", [1e-3, 0.02, 0.3])
def test_random_rows(
    scale: float, device: torch.device, real_size: bool, assert_is_support: Callable[[Support, Tensor], None]
) -> None:
    n, m = (512, 65_536) if real_size else (6, 5000)
    scores = torch.randn(n, m, generator=torch.Generator().manual_seed(1)) * scale
    assert_is_support(sparsemax_support(scores.to(device), "triton"), scores)


def test_the_fallback_gives_what_the_quick_path_gives(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = (torch.randn(6, 3000, generator=torch.Generator().manual_seed(2)) * 0.1).to(device)
    quick = sparsemax_support(scores, "triton")
    assert int(quick.crow.diff().max()) < row_support.CAP
    assert quick.fallback_rows == 0
    monkeypatch.setattr(driver, "CAP", 4)  # no row fits any more
    slow = sparsemax_support(scores, "triton")
    assert slow.fallback_rows == 6
    for name in ("crow", "col", "z", "p", "tau"):
        torch.testing.assert_close(getattr(quick, name), getattr(slow, name), atol=1e-7, rtol=1e-6)


def test_candidates_hold_the_support(device: torch.device) -> None:
    """Every atom of the support lies in an active group, for rows that stay under the cap."""
    scores = torch.randn(8, 4000, generator=torch.Generator().manual_seed(3)) * 0.2
    want = sparsemax_support(scores.double(), "reference")
    groups = -(-4000 // row_support.GROUP)
    padded = torch.full((8, groups * row_support.GROUP), -torch.inf)
    padded[:, :4000] = scores
    maxima = torch.empty(8, groups, device=device)
    row_support.group_maxima_kernel[(8, -(-groups // 64))](
        scores.to(device), maxima, 4000, 4000, groups, row_support.GROUP, 64
    )
    assert torch.equal(maxima.cpu(), padded.view(8, groups, -1).amax(dim=2))
    ids = torch.empty(8, row_support.CAP, dtype=torch.int32, device=device)
    n_active, status = torch.zeros(2, 8, dtype=torch.int32, device=device)
    row_support.active_groups_kernel[(8,)](
        maxima, ids, n_active, status, groups, 128, row_support.CAP, row_support.OVERFLOW, row_support.BAD
    )
    assert not bool(status.any())
    for row in range(8):
        active = set(ids[row, : int(n_active[row])].tolist())
        support = want.col[int(want.crow[row]) : int(want.crow[row + 1])]
        assert {int(atom) // row_support.GROUP for atom in support} <= active


@pytest.mark.parametrize(
    ("value", "cause"), [(float("nan"), "holds NaN"), (float("inf"), r"holds \+inf"), (-float("inf"), "only -inf")]
)
def test_rows_without_a_support(value: float, cause: str, device: torch.device) -> None:
    scores = torch.randn(4, 300)
    scores[2, :] = value if value < 0 else scores[2]
    scores[2, 299] = value
    with pytest.raises(ValueError, match=f"Row 2 of the scores .*{cause}"):
        sparsemax_support(scores.to(device), "triton")


def test_a_slice_of_a_matrix_is_read_in_place(
    device: torch.device, assert_is_support: Callable[[Support, Tensor], None]
) -> None:
    scores = torch.randn(6, 500, generator=torch.Generator().manual_seed(4)).to(device)[::2, 50:350]
    assert_is_support(sparsemax_support(scores, "triton"), scores)
