"""Proof that the supports of a running program are exact: a count that is always kept, and checks that can be asked for.

Source of the certificate: the optimality conditions of the projection onto the simplex (Martins & Astudillo 2016,
proposition 1). A set S is the support of a row if and only if ``tau = (sum of z over S - 1) / |S|`` lies below every
score in S and not below any score outside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from threading import Lock

import torch
from torch import Tensor

from kernels import reference
from kernels.rows import Support

NEAR = 1e-6  # float32 scores this close to tau may fall on either side of it


@dataclass(frozen=True, slots=True)
class SupportCounts:
    """Rows whose support was taken, and how many of them went the longer way (see ``Support.fallback_rows``)."""

    rows: int
    fallback: int


_lock = Lock()
_counts = SupportCounts(0, 0)


def support_counts() -> SupportCounts:
    """What :func:`kernels.sparsemax_support` did in this process so far; take the difference of two calls."""
    return _counts


@dataclass(slots=True)
class SupportAudit:
    """The findings of an audit.

    Attributes
    ----------
    calls, rows, entries, fallback : int
        Calls of :func:`kernels.sparsemax_support`, their rows, non-zeros, and rows that took the longer way.
    largest : int
        Largest support of a row.
    uncertified : int
        Rows, of all rows, whose support fails the certificate. Must be 0.
    checked : int
        Rows that were compared with the float64 sort.
    near : int
        Of those, rows whose support differs, but only in scores within 1e-6 of tau.
    different : int
        Of those, rows whose support differs in any other score. Must be 0.
    max_error : float
        Largest difference of a probability from the float64 sort.
    """

    calls: int = 0
    rows: int = 0
    entries: int = 0
    fallback: int = 0
    largest: int = 0
    uncertified: int = 0
    checked: int = 0
    near: int = 0
    different: int = 0
    max_error: float = 0.0

    def taken(self) -> SupportAudit:
        """A copy of the findings so far; the counts start again from zero."""
        found = replace(self)
        for field in fields(self):
            setattr(self, field.name, field.default)
        return found


@dataclass(frozen=True, slots=True)
class _Audit:
    found: SupportAudit
    every: int
    rows: int


_running: ContextVar[_Audit | None] = ContextVar("running", default=None)


@contextmanager
def audit_supports(every: int = 1, rows: int = 64) -> Iterator[SupportAudit]:
    """Check the supports taken inside the ``with`` block by this thread.

    Every row of every call is held against the certificate: a copy of the scores and one more read. Of every ``every``-th call,
    ``rows`` rows, spread evenly, are sorted in float64 and compared. The figures grow while the block runs.
    """
    if every < 1 or rows < 0:
        raise ValueError(f"every must be at least 1 and rows not negative, got {every} and {rows}.")
    audit = _Audit(SupportAudit(), every, rows)
    token = _running.set(audit)
    try:
        yield audit.found
    finally:
        _running.reset(token)


def observe(scores: Tensor, support: Support) -> None:
    """Count one call, and check it when an audit is running."""
    global _counts
    n_rows = len(support.crow) - 1
    with _lock:
        _counts = SupportCounts(_counts.rows + n_rows, _counts.fallback + support.fallback_rows)
    audit = _running.get()
    if audit is None or n_rows == 0:
        return
    found, size = audit.found, support.crow.diff()
    found.calls += 1
    found.rows += n_rows
    found.entries += support.col.numel()
    found.fallback += support.fallback_rows
    found.largest = max(found.largest, int(size.max()))
    found.uncertified += n_rows - int(certified(scores, support).sum())
    if audit.rows and (found.calls - 1) % audit.every == 0:
        step = max(1, n_rows // audit.rows)
        _compare(found, scores, support, torch.arange(n_rows, device=scores.device)[::step][: audit.rows])


def certified(scores: Tensor, support: Support) -> Tensor:
    """Whether the support of each row of ``scores`` [N, M] meets the certificate: bool [N]."""
    size = support.crow.diff()
    row = torch.repeat_interleave(torch.arange(len(size), device=size.device), size, output_size=len(support.col))
    z = scores[row, support.col.long()].double()
    top = scores.amax(dim=1).double()
    # Relative to the largest score, as the rows were computed: their sum then keeps its digits whatever their size.
    shifted = z - top[row]
    threshold = (torch.zeros_like(top).index_add_(0, row, shifted) - 1) / size
    losers = scores.clone()
    losers[row, support.col.long()] = -torch.inf
    within = losers.amax(dim=1).double() - top <= threshold
    within[row[shifted <= threshold[row]]] = False
    return within & torch.isclose(support.tau.double(), top + threshold, rtol=1e-6, atol=NEAR)


def _compare(found: SupportAudit, scores: Tensor, support: Support, chosen: Tensor) -> None:
    """Sort the chosen rows in float64 and add up how their supports differ."""
    sorted_rows = reference.support(scores[chosen].double())
    want = sorted_rows.codes("probability").dense()
    got = torch.zeros_like(want)
    for i, row in enumerate(chosen.tolist()):
        entries = slice(int(support.crow[row]), int(support.crow[row + 1]))
        got[i, support.col[entries].long()] = support.p[entries].double()
    other = (got > 0) != (want > 0)
    far = other & ((scores[chosen].double() - sorted_rows.tau[:, None]).abs() > NEAR)
    found.checked += len(chosen)
    found.different += int(far.any(dim=1).sum())
    found.near += int((other.any(dim=1) & ~far.any(dim=1)).sum())
    found.max_error = max(found.max_error, float((got - want).abs().max()))
