"""Overlays the server draws for pictures of an atlas: where an atom fires, how many atoms each patch needs. Bytes out.

Overlays are one pixel per patch: the browser scales them smoothly over the picture, which costs 300 bytes instead of 30 kB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.ui.colours import HEAT, VIRIDIS
from app.ui.png import png
from engine.atlas.top_exemplars import exemplars
from engine.derived import derived
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.atlas import Atlas


def exemplar_heat(atlas: Atlas, atom: int, kind: str, rank: int, scale: str = "atom") -> bytes:
    """Heat map of one exemplar: PNG, one pixel per patch, transparent where the atom does not fire.

    ``scale``: ``"atom"`` divides by the atom's largest activation anywhere, so that pictures compare with each other;
    ``"picture"`` by the largest in this picture.

    Raises
    ------
    InputError
        If the atom has no such exemplar or its items have no patches.
    """
    rows = exemplars(atlas, atom)
    place = np.flatnonzero((rows["kind"] == kind).to_numpy() & (rows["rank"] == rank).to_numpy())
    if not place.size:
        raise InputError(f"Atom {atom} has no {kind} exemplar of rank {rank}.")
    heat = np.zeros(atlas.n_positions, np.float32)
    positions, values = (rows[column].to_numpy()[place[0]] for column in ("heat_positions", "heat_values"))
    heat[np.asarray(positions, np.int64)] = values
    top = float(atlas.atoms["max_activation"].to_numpy()[atom]) if scale == "atom" else float(heat.max())
    return heat_png(patches(atlas, heat), top)


def item_heat(atlas: Atlas, item: int, atom: int) -> bytes:
    """Heat map of any atom over a sampled item, scaled as ``exemplar_heat`` with ``scale="picture"``.

    Raises
    ------
    InputError
        If the codes of the item are not in the atlas.
    """
    heat = atlas.item_heat(item, atom)
    if heat is None:
        raise InputError(f"The codes of item {item} are not in this atlas (it holds those of a sample).")
    grid = patches(atlas, heat)
    return heat_png(grid, float(grid.max()))


def patches(atlas: Atlas, values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Values of the positions [P] -> the patch grid [rows, columns], without CLS and registers."""
    rows, columns = atlas.grid
    if rows * columns == 0 or atlas.prefix + rows * columns > len(values):
        raise InputError(f"The items of {atlas.title!r} have no patch grid.")
    return np.asarray(values[atlas.prefix : atlas.prefix + rows * columns], np.float32).reshape(rows, columns)


def heat_png(grid: NDArray[np.float32], top: float) -> bytes:
    """Activations [rows, columns] -> PNG. Opacity grows with the value, so the picture stays readable."""
    share = np.clip(grid / top if top > 0 else np.zeros_like(grid), 0, 1)
    rgba = np.zeros((*grid.shape, 4), np.uint8)
    rgba[..., :3] = HEAT[(share * 255).astype(np.uint8)]
    # A weak activation must still be visible: the exponent lifts the low end.
    rgba[..., 3] = np.where(share > 0, 60 + 160 * share**0.6, 0).astype(np.uint8)
    return png(Image.fromarray(rgba, "RGBA"))


@derived
def support_range(atlas: Atlas) -> tuple[int, int]:
    """The fixed colour range of support maps: 1st and 99th percentile of the support sizes of all patches."""
    sizes = atlas.support[:, atlas.prefix :]
    if not sizes.size:
        return 0, 1
    low, high = np.percentile(sizes, [1, 99])
    return int(low), max(int(np.ceil(high)), int(low) + 1)


def support_png(atlas: Atlas, item: int) -> bytes:
    """Support size of every patch of an item in viridis over :func:`support_range`, one pixel per patch."""
    return scale_png(patches(atlas, atlas.support[item]), *support_range(atlas))


def scale_png(grid: NDArray[np.float32], low: float, high: float) -> bytes:
    """Values [rows, columns] -> PNG in viridis between ``low`` and ``high``, one pixel per patch, half transparent."""
    share = np.clip((grid - low) / (high - low), 0, 1)
    rgba = np.empty((*grid.shape, 4), np.uint8)
    rgba[..., :3] = VIRIDIS[(share * 255).astype(np.uint8)]
    rgba[..., 3] = 150
    return png(Image.fromarray(rgba, "RGBA"))
