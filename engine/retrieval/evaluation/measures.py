"""Figures with their uncertainty: means of queries, and how far they would move with other queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEPTHS = (1, 5, 10)
RESAMPLES = 2_000
_SEED = 2026


def interval(values: Sequence[float] | NDArray[Any]) -> dict[str, float]:
    """Mean of ``values`` (one a query) and its 95% percentile bootstrap interval over queries (Efron, 1979).

    Of differences between two methods on the same queries this is the paired bootstrap.
    """
    array = np.asarray(values, np.float64)
    if not len(array):
        return {"value": 0.0, "low": 0.0, "high": 0.0}
    rng = np.random.default_rng(_SEED)
    means = np.array([array[rng.integers(0, len(array), len(array))].mean() for _ in range(RESAMPLES)])
    low, high = np.quantile(means, (0.025, 0.975))
    return {"value": float(array.mean()), "low": float(low), "high": float(high)}


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
