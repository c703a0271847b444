"""The small map of all atoms: a picture for every page, and where an atom lies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from app.ui.png import png
from engine.derived import derived

if TYPE_CHECKING:
    from engine.atlas import Atlas


def map_place(atlas: Atlas, atom: int) -> tuple[float, float] | None:
    """Where an atom lies on the small map: shares of its width and height from the top left, or None."""
    x, y = (float(atlas.atoms[axis].iloc[atom]) for axis in ("x", "y"))
    if not (np.isfinite(x) and np.isfinite(y)):
        return None
    (left, right), (low, high) = _map_bounds(atlas)
    return (x - left) / (right - left), (high - y) / (high - low)


@derived
def map_png(atlas: Atlas, side: int = 240) -> bytes:
    """All atoms of the map as a density, neutral grey with transparency: it reads on paper and on ink."""
    x, y = (atlas.atoms[axis].to_numpy(float) for axis in ("x", "y"))
    placed = np.isfinite(x) & np.isfinite(y)
    (left, right), (low, high) = _map_bounds(atlas)
    column = ((x[placed] - left) / (right - left) * (side - 1)).round().astype(int)
    row = ((high - y[placed]) / (high - low) * (side - 1)).round().astype(int)
    count = np.zeros((side, side))
    np.add.at(count, (row.clip(0, side - 1), column.clip(0, side - 1)), 1)
    spread = count.copy()
    for axis in (0, 1):  # a dot is about three pixels wide
        spread = np.maximum(spread, 0.55 * np.maximum(np.roll(spread, 1, axis), np.roll(spread, -1, axis)))
    rgba = np.full((side, side, 4), 128, np.uint8)
    rgba[..., 3] = (255 * np.clip(np.sqrt(spread) / 2.2, 0, 0.9)).astype(np.uint8)
    return png(Image.fromarray(rgba, "RGBA"))


@derived
def _map_bounds(atlas: Atlas) -> tuple[tuple[float, float], tuple[float, float]]:
    bounds = []
    for axis in ("x", "y"):
        values = atlas.atoms[axis].to_numpy(float)
        values = values[np.isfinite(values)]
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        margin = 0.04 * (high - low) or 1.0
        bounds.append((low - margin, high + margin))
    return bounds[0], bounds[1]
