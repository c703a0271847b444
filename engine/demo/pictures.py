"""From an original picture to the 224 x 224 WebP that ships, and what decides whether it is worth shipping."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.fft import dctn

from engine.demo.candidates import Candidate

SIZE = 224
QUALITY = 85
_MARGIN = 6  # white border of a cut-out, so that no outline touches the edge
_MAX_PIXELS = 80_000_000
_TINY = 40  # a cut-out whose longer side has fewer pixels than this is blown up into mush
_BLANK_SPREAD = 6.0  # standard deviation of grey levels (0..255) under which a picture shows nothing
_BLANK_INK = 0.012  # share of pixels that are not white

_HASH_SIDE = 8
_THUMB = 16


@dataclass(frozen=True)
class Rendered:
    """A candidate as it would ship.

    ``phash`` are 64 bits (bool) of the perceptual hash; ``thumb`` is the picture at 16 x 16 x 3, uint8, for telling
    apart pictures that differ in colour only. ``colour`` is the mean chroma (0..255): near 0 for line drawings.
    """

    webp: bytes
    phash: NDArray[np.bool_]
    thumb: NDArray[np.uint8]
    colour: float
    fault: str


def render(candidate: Candidate) -> Rendered:
    """Render ``candidate``; ``fault`` says why it should not ship, "" if it may."""
    image = _open(candidate.path)
    if image is None:
        return Rendered(b"", np.zeros(64, bool), np.zeros((_THUMB, _THUMB, 3), np.uint8), 0.0, "huge")
    if candidate.crop:
        left, top, right, bottom = candidate.crop
        w, h = image.size
        image = image.crop((round(left * w), round(top * h), round(right * w), round(bottom * h)))
    fault = ""
    if candidate.photo:
        square = ImageOps.fit(flatten(image), (SIZE, SIZE), Image.Resampling.LANCZOS)
    else:
        square, side = fit_on_white(image)
        fault = "tiny" if side < _TINY else ""
    pixels = np.asarray(square, dtype=np.float32)
    grey = pixels.mean(axis=2)
    ink = float((pixels.min(axis=2) < 245).mean())
    if not fault and (float(grey.std()) < _BLANK_SPREAD or ink < _BLANK_INK):
        fault = "blank"
    colour = float((pixels.max(axis=2) - pixels.min(axis=2)).mean())
    buffer = io.BytesIO()
    square.save(buffer, "WEBP", quality=QUALITY, method=6)
    thumb = np.asarray(square.resize((_THUMB, _THUMB), Image.Resampling.BOX))
    return Rendered(buffer.getvalue(), perceptual_hash(square), thumb, colour, fault)


def _open(path: Path) -> Image.Image | None:
    """The picture at ``path`` upright, as RGBA; None if it has too many pixels to be worth decoding."""
    try:
        with Image.open(path) as original:
            if original.width * original.height > _MAX_PIXELS:
                return None
            original.draft("RGB", (4 * SIZE, 4 * SIZE))  # JPEG: decode at the scale needed
            return ImageOps.exif_transpose(original).convert("RGBA")
    except Image.DecompressionBombError:
        return None


def flatten(image: Image.Image) -> Image.Image:
    """``image`` (RGBA) on white, as RGB."""
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def fit_on_white(image: Image.Image) -> tuple[Image.Image, int]:
    """The visible part of ``image`` (RGBA) centred on a white square, and the longer side it had, in pixels."""
    visible = image.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
    if visible is None:
        return Image.new("RGB", (SIZE, SIZE), "white"), 0
    flat = flatten(image.crop(visible))
    trimmed = ImageOps.invert(flat.convert("L")).point(lambda grey: 255 if grey > 4 else 0).getbbox()
    if trimmed is None:
        return Image.new("RGB", (SIZE, SIZE), "white"), 0
    flat = flat.crop(trimmed)
    side = max(flat.size)
    scale = (SIZE - 2 * _MARGIN) / side
    size = (max(1, round(flat.width * scale)), max(1, round(flat.height * scale)))
    flat = flat.resize(size, Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIZE, SIZE), "white")
    square.paste(flat, ((SIZE - size[0]) // 2, (SIZE - size[1]) // 2))
    return square, side


def perceptual_hash(image: Image.Image) -> NDArray[np.bool_]:
    """The 64-bit DCT hash: signs of the low frequencies of a 32 x 32 grey picture against their median."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float64)
    low = dctn(grey, norm="ortho")[:_HASH_SIDE, :_HASH_SIDE].ravel()
    bits: NDArray[np.bool_] = low > np.median(low[1:])
    return bits
