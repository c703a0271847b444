"""The count of supports and their certificate: right supports pass, wrong ones are found out, and the retry is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kernels import Support, audit_supports, numba_rows, sparse_attention, sparsemax_support, support_counts
from kernels import support as support_module
from kernels.audit import certified
from kernels.dispatch import Backend

BACKENDS: list[Backend] = ["reference", "torch", "numba"]


def rows(n: int = 40, m: int = 900, seed: int = 0) -> Tensor:
    return torch.randn(n, m, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_awkward_row_is_certified_and_agrees(backend: Backend, awkward_rows: dict[str, Tensor]) -> None:
    with audit_supports(rows=1000) as audit:
        for scores in awkward_rows.values():
            sparsemax_support(scores, backend)
    assert audit.rows == audit.checked == sum(len(scores) for scores in awkward_rows.values())
    assert (audit.uncertified, audit.different) == (0, 0)
    assert audit.max_error <= 1e-6


def test_wrong_supports_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = rows(3)
    right = sparsemax_support(scores)
    assert bool(certified(scores, right).all())
    first = slice(1, None)  # row 0 without its first atom
    crow = right.crow - 1
    crow[0] = 0
    wrong = Support(crow, right.col[first], right.z[first], right.p[first], right.tau, 900)
    assert certified(scores, wrong).tolist() == [False, True, True]
    assert certified(scores, replace(right, tau=right.tau + torch.tensor([0, 1e-3, 0]))).tolist() == [True, False, True]

    class Backend:
        support = staticmethod(lambda scores: wrong)

    monkeypatch.setattr(support_module, "backend_module", lambda chosen: Backend)
    with audit_supports() as audit:
        sparsemax_support(scores)
    assert (audit.uncertified, audit.checked, audit.different) == (1, 3, 1)


def test_the_count_is_kept_by_all_threads_and_the_audit_by_its_own() -> None:
    before = support_counts()
    with audit_supports(every=3, rows=5) as audit:
        threads = [Thread(target=lambda: [sparsemax_support(rows(7)) for _ in range(20)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(4):
            codes = sparse_attention(torch.eye(11, 30), torch.randn(60, 30))
        sparsemax_support(rows(0))
    sparsemax_support(rows(2))
    assert support_counts().rows - before.rows == 4 * 20 * 7 + 4 * 11 + 2
    assert (audit.calls, audit.rows, audit.checked) == (4, 44, 10)  # the first and the fourth call are compared
    assert audit.largest >= codes.nnz / 11
    assert audit.taken().rows == 44
    assert audit.rows == audit.largest == 0
    with pytest.raises(ValueError, match="every must be at least 1"), audit_supports(every=0):
        pass


def test_a_bound_that_is_too_high_fails_its_certificate() -> None:
    shifted = np.array([0.0, -0.1, -0.2, -0.3])
    threshold, count = numba_rows.newton_threshold(shifted, -1.0)
    assert (threshold, count) == (pytest.approx(-0.4), 4)
    assert numba_rows.newton_threshold(shifted[shifted > -0.15], -0.15)[0] == -np.inf


def test_the_retry_gives_the_exact_support(
    monkeypatch: pytest.MonkeyPatch, assert_is_support: Callable[[Support, Tensor], None]
) -> None:
    """The compiled bound never fails on rows of ordinary width; here it is made to, in the uncompiled function."""
    scores = rows(6)
    bound = numba_rows.lower_bound

    def too_high(maxima: Any) -> Any:
        top, threshold = bound(maxima)
        return top, np.float32(0.5 * threshold)

    monkeypatch.setattr(numba_rows, "lower_bound", too_high)
    monkeypatch.setattr(numba_rows, "support_rows", numba_rows.support_rows.py_func)
    support = sparsemax_support(scores, "numba")
    assert support.fallback_rows == 6
    assert_is_support(support, scores)
