"""The support of sparsemax: every CPU backend against a float64 sort, on open input and on awkward rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

import kernels
from kernels import Support, dispatch, numba_rows, sparsemax_support, torch_rows
from kernels.dispatch import Backend, choose_backend

BACKENDS: list[Backend] = ["reference", "torch", "numba"]
ROWS = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 400)),
    elements=st.one_of(
        st.floats(-1e4, 1e4, width=32), st.floats(-1, 1, width=32), st.sampled_from([0.0, 0.5, -float("inf")])
    ),
)


@pytest.mark.parametrize("backend", BACKENDS)
def test_awkward_rows(
    backend: Backend, awkward_rows: dict[str, Tensor], assert_is_support: Callable[[Support, Tensor], None]
) -> None:
    for name, scores in awkward_rows.items():
        try:
            assert_is_support(sparsemax_support(scores, backend), scores)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


@settings(max_examples=20)
@given(rows=ROWS)
def test_any_rows(rows: np.ndarray, assert_is_support: Callable[[Support, Tensor], None]) -> None:
    rows[:, 0] = np.where(np.isfinite(rows[:, 0]), rows[:, 0], 0)  # a row of nothing but -inf is an error
    scores = torch.from_numpy(rows)
    for backend in BACKENDS:
        assert_is_support(sparsemax_support(scores, backend), scores)


@settings(max_examples=20)
@given(rows=ROWS, groups=st.integers(1, 400))
def test_the_candidates_hold_the_support(rows: np.ndarray, groups: int) -> None:
    """The threshold of any grouping's maxima, and of all of them at once, never exceeds that of the row."""
    rows[:, 0] = np.where(np.isfinite(rows[:, 0]), rows[:, 0], 0)
    groups = min(groups, rows.shape[1])
    want = sparsemax_support(torch.from_numpy(rows), "reference")
    by_torch = torch_rows.group_maxima(torch.from_numpy(rows), groups)
    maxima = np.empty(groups, np.float32)
    for i, row in enumerate(rows):
        winners = want.col[int(want.crow[i]) : int(want.crow[i + 1])].tolist()
        numba_rows.group_maxima(row, maxima)
        assert maxima.tolist() == by_torch[i].tolist()
        top, bound = numba_rows.lower_bound(maxima)
        col, value = np.empty(len(row), np.int32), np.empty(len(row), np.float32)
        guess = numba_rows.next_below(np.float64(top) + np.float64(bound) - 1e-6)
        found = numba_rows.gather_above(row, guess, col, value)
        assert set(winners) <= set(col[:found].tolist())
        shifted = by_torch[i : i + 1].double() - float(top)
        assert bool((torch.from_numpy(row[winners]).double() - float(top) > torch_rows.lower_bound(shifted)).all())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [1e-3, 1e-2, 0.1, 1.0])
def test_supports_from_one_to_thousands(
    backend: Backend, scale: float, assert_is_support: Callable[[Support, Tensor], None]
) -> None:
    scores = torch.randn(70, 4100, generator=torch.Generator().manual_seed(1)) * scale
    assert_is_support(sparsemax_support(scores, backend), scores)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_many_threads_and_chunks_give_what_one_row_gives(backend: Backend) -> None:
    scores = torch.randn(3000, 2100, generator=torch.Generator().manual_seed(2)) * 0.1
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        whole = sparsemax_support(scores, backend)
    finally:
        torch.set_num_threads(threads)
    for row in (0, 1, 1499, 2999):
        start, stop = int(whole.crow[row]), int(whole.crow[row + 1])
        alone = sparsemax_support(scores[row : row + 1], backend)
        assert torch.equal(whole.col[start:stop], alone.col)
        assert torch.equal(whole.p[start:stop], alone.p)
        assert whole.tau[row] == alone.tau[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("value", "cause"), [(float("nan"), "holds NaN"), (float("inf"), r"holds \+inf"), (-float("nan"), "holds NaN")]
)
@pytest.mark.parametrize("place", [(0, 0), (3, 511), (4, 599), (2, 300)])
def test_no_support_is_one_clear_sentence(backend: Backend, value: float, cause: str, place: tuple[int, int]) -> None:
    scores = torch.randn(5, 600, generator=torch.Generator().manual_seed(3))
    scores[place] = value
    with pytest.raises(ValueError, match=f"Row {place[0]} of the scores {cause}"):
        sparsemax_support(scores, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fully_masked_row_is_refused(backend: Backend) -> None:
    scores = torch.randn(5, 60)
    scores[1] = -torch.inf
    with pytest.raises(ValueError, match="Row 1 of the scores holds only -inf"):
        sparsemax_support(scores, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_views_and_16_bit_scores(backend: Backend, assert_is_support: Callable[[Support, Tensor], None]) -> None:
    scores = torch.randn(300, 40, generator=torch.Generator().manual_seed(4)).T
    assert_is_support(sparsemax_support(scores, backend), scores)
    sliced = torch.randn(10, 900)[::2, 100:700]
    assert_is_support(sparsemax_support(sliced, backend), sliced)
    for dtype in (torch.float16, torch.bfloat16):
        narrow = scores.to(dtype)
        assert_is_support(sparsemax_support(narrow, backend), narrow)


def test_float64_goes_to_the_reference_and_stays_float64() -> None:
    support = sparsemax_support(torch.randn(4, 50, dtype=torch.float64))
    assert support.z.dtype == support.p.dtype == support.tau.dtype == torch.float64
    torch.testing.assert_close(torch.segment_reduce(support.p, "sum", offsets=support.crow), torch.ones(4).double())


def test_support_is_unchanged_by_a_shift_and_shrinks_with_the_scale() -> None:
    scores = torch.randn(20, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    plain, shifted, scaled = (sparsemax_support(s) for s in (scores, scores + 7, scores * 3))
    assert torch.equal(plain.col, shifted.col)
    torch.testing.assert_close(plain.tau + 7, shifted.tau)
    assert bool((scaled.crow.diff() <= plain.crow.diff()).all())


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (torch.zeros(3), "must be a floating-point matrix"),
        (torch.zeros(3, 4, dtype=torch.int64), "must be a floating-point matrix"),
        (torch.zeros(3, 0), "have no columns"),
    ],
)
def test_what_is_no_score_matrix_is_refused(scores: Tensor, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        sparsemax_support(scores)


def test_backends_that_cannot_run_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    with pytest.raises(ValueError, match="There is no backend 'cuda'"):
        sparsemax_support(torch.zeros(1, 1), "cuda")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="computes in float32"):
        sparsemax_support(torch.zeros(1, 1, dtype=torch.float64), "numba")
    with pytest.raises(ValueError, match="runs on the CPU"):
        choose_backend("numba", torch.device("cuda"), torch.float32)
    with pytest.raises(ValueError, match="needs the package numba, which is not installed"):
        monkeypatch.setattr(dispatch, "installed", lambda package: False)
        choose_backend("numba", cpu, torch.float32)


@pytest.mark.parametrize(
    ("device", "dtype", "packages", "chosen"),
    [
        ("cpu", torch.float32, {"numba", "triton"}, "numba"),
        ("cpu", torch.bfloat16, {"numba"}, "numba"),
        ("cpu", torch.float32, {"triton"}, "torch"),
        ("cuda", torch.float32, {"numba", "triton"}, "triton"),
        ("cuda", torch.float16, {"numba"}, "torch"),
        ("cpu", torch.float64, {"numba", "triton"}, "reference"),
        ("cuda", torch.float64, {"numba", "triton"}, "reference"),
    ],
)
def test_auto_takes_the_quickest_that_is_there(
    device: str, dtype: torch.dtype, packages: set[str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "installed", lambda package: package in packages)
    assert choose_backend("auto", torch.device(device), dtype) == chosen


def test_the_public_face_is_complete() -> None:
    for name in kernels.__all__:
        assert callable(getattr(kernels, name))
    with pytest.raises(AttributeError):
        kernels.__getattr__("nothing_of_the_kind")
