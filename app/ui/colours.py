"""Colours that carry numbers or categories: sequential scales as anchors and as ramps, and categories that stay apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from plotly.colors import sequential

SEQUENTIAL: dict[str, tuple[str, ...]] = {"viridis": tuple(sequential.Viridis), "cividis": tuple(sequential.Cividis)}
"""Name -> ten anchors, dark to light, as ``#rrggbb``."""

OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Seven categories that stay apart under every common colour vision; the eighth is the theme's text colour."""


def ramp(anchors: Sequence[str]) -> NDArray[np.uint8]:
    """256 RGB colours through the anchors, uint8 [256, 3]."""
    points = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in anchors], float)
    at = np.linspace(0, 1, 256)
    knots = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(at, knots, points[:, k]) for k in range(3)], axis=1).round().astype(np.uint8)


VIRIDIS = ramp(SEQUENTIAL["viridis"])
HEAT = ramp(("#7E03A8", "#B12A90", "#E16462", "#FCA636", "#F0F921"))
"""The upper part of plasma, after matplotlib's table by van der Walt and Smith (CC0)."""
