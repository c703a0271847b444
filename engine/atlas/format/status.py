"""Dead, rare, live and dense atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.atlas.format.schema import DENSE_ABOVE, RARE_BELOW


def statuses(firing_count: NDArray[np.int64], tokens: int) -> NDArray[Any]:
    """``dead``, ``rare``, ``dense`` or ``live`` for every atom (FORMAT.md); frequencies compared in float64."""
    frequency = firing_count / max(tokens, 1)
    status = np.full(len(firing_count), "live", dtype="<U5")
    status[frequency < RARE_BELOW] = "rare"
    status[frequency > DENSE_ABOVE] = "dense"
    status[firing_count == 0] = "dead"
    return status


def status_counts(status: NDArray[Any]) -> dict[str, int]:
    """Atoms of each status, the four keys that ``counts`` of ``atlas.json`` holds."""
    return {name: int((status == name).sum()) for name in ("live", "dead", "rare", "dense")}
