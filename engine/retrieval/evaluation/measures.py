"""Figures with their uncertainty: means of queries, and how far they would move with other queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

DEPTHS = (1, 5, 10)
RESAMPLES = 2_000
_BATCH = 100
"""Resamples that are in memory together."""
_SEED = 2026


def interval(values: Sequence[float] | NDArray[Any]) -> dict[str, float]:
    """Mean of ``values`` (one a query) and its 95% percentile bootstrap interval over queries (Efron, 1979).

    Of differences between two methods on the same queries this is the paired bootstrap.
    """
    array = np.asarray(values, np.float64)
    value = float(array.mean()) if len(array) else 0.0
    if len(array) < 2:  # one query drawn again and again is always the same
        return {"value": value, "low": value, "high": value}
    rng = np.random.default_rng(_SEED)
    drawn = bootstrap((array,), np.mean, n_resamples=RESAMPLES, batch=_BATCH, method="percentile", rng=rng)
    low, high = drawn.confidence_interval
    return {"value": value, "low": float(low), "high": float(high)}


def hits(ranks: Sequence[int | None], depth: int) -> NDArray[np.float64]:
    """1 for every query whose right answer stands among the first ``depth``, ranks from 1, None for never."""
    return np.array([rank is not None and rank <= depth for rank in ranks], np.float64)


def recalls(ranks: Sequence[int | None]) -> dict[str, dict[str, float]]:
    """Recall@1/5/10 with intervals."""
    return {f"recall@{depth}": interval(hits(ranks, depth)) for depth in DEPTHS}


def gains(ranks: Sequence[int | None], base: Sequence[int | None]) -> dict[str, dict[str, float]]:
    """What recall@1/5/10 gains over ``base`` on the same queries, with paired intervals."""
    return {f"recall@{depth}": interval(hits(ranks, depth) - hits(base, depth)) for depth in DEPTHS}


def median(values: Sequence[float]) -> float | None:
    """The median, None of nothing."""
    return float(np.median(values)) if len(values) else None
