"""Pictures the server draws from an atlas: heat maps, support maps, the map of atoms, exemplar sheets. Bytes out.

Overlays are one pixel a patch: the browser scales them smoothly over the picture, which costs 300 bytes instead of 30 kB.
"""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.library import derived, exemplars
from engine.errors import InputError
from engine.paths import ASSETS

if TYPE_CHECKING:
    from engine.atlas import Atlas

# Anchor colours of plasma (upper part) and viridis, after matplotlib's tables by van der Walt and Smith (CC0).
_PLASMA = ["#7E03A8", "#B12A90", "#E16462", "#FCA636", "#F0F921"]
_VIRIDIS = [
    "#440154",
    "#482878",
    "#3E4A89",
    "#31688E",
    "#26828E",
    "#1F9E89",
    "#35B779",
    "#6DCD59",
    "#B4DE2C",
    "#FDE725",
]


def _ramp(anchors: list[str]) -> NDArray[np.uint8]:
    """256 RGB colours through the anchors, [256, 3]."""
    points = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in anchors], float)
    at = np.linspace(0, 1, 256)
    knots = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(at, knots, points[:, k]) for k in range(3)], axis=1).round().astype(np.uint8)


PLASMA = _ramp(_PLASMA)
VIRIDIS = _ramp(_VIRIDIS)


def exemplar_heat(atlas: Atlas, atom: int, kind: str, rank: int, scale: str = "atom") -> bytes:
    """Heat map of one exemplar: PNG, one pixel a patch, transparent where the atom does not fire.

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
    rgba[..., :3] = PLASMA[(share * 255).astype(np.uint8)]
    # A weak activation must still be visible: the exponent lifts the low end.
    rgba[..., 3] = np.where(share > 0, 60 + 160 * share**0.6, 0).astype(np.uint8)
    return _png(Image.fromarray(rgba, "RGBA"))


def support_range(atlas: Atlas) -> tuple[int, int]:
    """The fixed colour range of support maps: 1st and 99th percentile of the support sizes of all patches."""

    def compute() -> tuple[int, int]:
        sizes = atlas.support[:, atlas.prefix :]
        if not sizes.size:
            return 0, 1
        low, high = np.percentile(sizes, [1, 99])
        return int(low), max(int(np.ceil(high)), int(low) + 1)

    return derived.get((atlas.key, "support range"), compute)


def support_png(atlas: Atlas, item: int) -> bytes:
    """Support size of every patch of an item in viridis over :func:`support_range`, one pixel a patch."""
    return scale_png(patches(atlas, atlas.support[item]), *support_range(atlas))


def scale_png(grid: NDArray[np.float32], low: float, high: float) -> bytes:
    """Values [rows, columns] -> PNG in viridis between ``low`` and ``high``, one pixel a patch, half transparent."""
    share = np.clip((grid - low) / (high - low), 0, 1)
    rgba = np.empty((*grid.shape, 4), np.uint8)
    rgba[..., :3] = VIRIDIS[(share * 255).astype(np.uint8)]
    rgba[..., 3] = 150
    return _png(Image.fromarray(rgba, "RGBA"))


def map_place(atlas: Atlas, atom: int) -> tuple[float, float] | None:
    """Where an atom lies on the small map: shares of its width and height from the top left, or None."""
    x, y = (float(atlas.atoms[axis].iloc[atom]) for axis in ("x", "y"))
    if not (np.isfinite(x) and np.isfinite(y)):
        return None
    (left, right), (low, high) = _map_bounds(atlas)
    return (x - left) / (right - left), (high - y) / (high - low)


def map_png(atlas: Atlas, side: int = 240) -> bytes:
    """All atoms of the map as a density, neutral grey with transparency: it reads on paper and on ink."""

    def compute() -> bytes:
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
        return _png(Image.fromarray(rgba, "RGBA"))

    return derived.get((atlas.key, "map", side), compute)


def _map_bounds(atlas: Atlas) -> tuple[tuple[float, float], tuple[float, float]]:
    def compute() -> tuple[tuple[float, float], tuple[float, float]]:
        bounds = []
        for axis in ("x", "y"):
            values = atlas.atoms[axis].to_numpy(float)
            values = values[np.isfinite(values)]
            low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
            margin = 0.04 * (high - low) or 1.0
            bounds.append((low - margin, high + margin))
        return bounds[0], bounds[1]

    return derived.get((atlas.key, "map bounds"), compute)


def exemplar_sheet(atlas: Atlas, atom: int, columns: int = 6, cell: int = 224) -> bytes:
    """The exemplars of an atom on one page, heat over pictures, top first, then lower quantiles: PNG."""
    rows = exemplars(atlas, atom)
    gap, head, foot = 12, 64, 30
    lines = max(1, -(-len(rows) // columns))
    width = columns * (cell + gap) + gap
    sheet = Image.new("RGB", (width, head + lines * (cell + foot + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    about = atlas.atoms.iloc[atom]
    draw.text((gap, 12), f"Atom {atom}   {about['label']}", fill="#1C1E22", font=_font(22))
    note = f"{atlas.title}, fires on {about['frequency']:.3%} of tokens, atlas {atlas.key}"
    draw.text((gap, 40), note, fill="#666B73", font=_font(13))
    for place, row in enumerate(rows.itertuples(index=False)):
        left = gap + place % columns * (cell + gap)
        top = head + place // columns * (cell + foot + gap)
        try:
            picture = Image.open(io.BytesIO(atlas.thumbnail(int(row.item)))).convert("RGB").resize((cell, cell))
            over = Image.open(io.BytesIO(exemplar_heat(atlas, atom, row.kind, int(row.rank))))
            picture.paste(
                over.convert("RGB").resize((cell, cell), Image.Resampling.BICUBIC), (0, 0), _alpha(over, cell)
            )
            sheet.paste(picture, (left, top))
        except InputError:  # a text, or a picture the atlas does not hold
            draw.rectangle((left, top, left + cell, top + cell), outline="#D0D3D8")
            words = str(atlas.items["caption"].iloc[row.item])
            if atlas.is_text:
                words = atlas.snippets.window(int(row.item), int(row.position))
            for line, part in enumerate(textwrap.wrap(words, 30)[:11]):
                draw.text((left + 8, top + 8 + 18 * line), part, fill="#1C1E22", font=_font(13))
        kind = "top" if row.kind == "top" else f"quantile {row.quantile:.0%}"
        draw.text((left, top + cell + 6), f"{row.value:.3g}   {kind}   item {row.item}", fill="#666B73", font=_font(13))
    return _png(sheet)


def _alpha(over: Image.Image, cell: int) -> Image.Image:
    return over.getchannel("A").resize((cell, cell), Image.Resampling.BICUBIC)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype(str(ASSETS / "fonts" / "inter-latin.woff2"), size)
    except OSError:  # a FreeType built without WOFF2
        return ImageFont.load_default(size)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
