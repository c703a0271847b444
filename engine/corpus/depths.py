"""Greyscale of more than 8 bits as 8 bits: the range that the file states, else the usual one that fits its values."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

BITS, PHOTOMETRIC, CHANNELS, SAMPLE_FORMAT, LOWEST, HIGHEST, NO_DATA = 258, 262, 277, 339, 340, 341, 42113
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO = 0

_KINDS = {SIGNED: "signed ", FLOAT: "floating-point "}

BLACK = 0.01
"""A picture whose largest value is below this part of the guessed white would come out black: its own range is taken."""

UNDERSHOOT = 0.1
"""Values that lie no further below zero than this part of the largest are a filter's undershoot: they are black."""


def is_deep(image: Image.Image) -> bool:
    """Whether a loaded image holds one channel of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def eight_bits(image: Image.Image) -> tuple[np.ndarray, str]:
    """A deep image as uint8 [height, width], 0 black and 255 white; and what it is where its range was guessed, else "".

    The range is what the file states: 0..65535 of ``I;16``, 2**bits - 1 of a TIFF of fewer bits, a TIFF's
    SMinSampleValue and SMaxSampleValue (TIFF 6.0, section 18). 32-bit integers, signed integers and floats state none:
    the smallest usual one that holds the largest value is taken (floats 0..1, then 0..255, then 0..65535), else the
    largest value itself is white. Where that would leave a TIFF black or cut off what is below zero, it is scaled from
    its own smallest value (or 0) to its largest. A WhiteIsZero TIFF is inverted.
    """
    tags: Any = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    values = np.asarray(image)
    sample, bits = _first(tags, SAMPLE_FORMAT, UNSIGNED), int(_first(tags, BITS, 0))
    if tags and image.mode == "I" and sample == UNSIGNED and bits == 32:
        values = values.view(np.uint32)  # Pillow reads them as signed
    values = values.astype(np.float32)
    if tags.get(NO_DATA) is not None:
        values[values == np.float32(_number(tags[NO_DATA]))] = np.nan  # GDAL's mark of pixels without a value
    values = np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    black, white, guessed = _range(values, image.mode, tags, sample, bits)
    grey = np.clip((values - black) * (255.0 / (white - black)) + 0.5, 0, 255).astype(np.uint8)
    grey = 255 - grey if _first(tags, PHOTOMETRIC, 1) == WHITE_IS_ZERO else grey
    return grey, f"{_KINDS.get(sample, '')}{bits}-bit TIFF" if guessed else ""


def _range(values: np.ndarray, mode: str, tags: Any, sample: Any, bits: int) -> tuple[float, float, bool]:
    """The values that are black and white, and whether they are the picture's own for want of better."""
    lowest, highest = _number(_first(tags, LOWEST, 0)), _number(_first(tags, HIGHEST, np.nan))
    if lowest < highest < np.inf:
        return lowest, highest, False
    if mode.startswith("I;16"):
        return 0.0, float(2**bits - 1) if 8 < bits < 16 else 65535.0, False
    peak, bottom = float(values.max(initial=0.0)), float(values.min(initial=0.0))
    deepest = 32767.0 if tags and sample == SIGNED and bits == 16 else 65535.0
    usual = (1.0, 255.0, deepest) if mode == "F" else (255.0, deepest)
    white = next((top for top in usual if peak <= top), peak)
    if tags and bottom < -UNDERSHOOT * peak:
        return bottom, peak, True
    if tags and 0 < peak < BLACK * white:
        return 0.0, peak, True
    return 0.0, white, bool(tags) and white not in usual


def unread_tiff(data: bytes) -> str:
    """What a TIFF that Pillow does not read holds, with its article; "" where it is no TIFF or its tags are damaged."""
    if not data.startswith((b"II*\0", b"MM\0*")):
        return ""
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        bits, channels = int(_first(directory, BITS, 1)), int(_first(directory, CHANNELS, 1))
        kind = _KINDS.get(_first(directory, SAMPLE_FORMAT, UNSIGNED), "")
        colour = "colour" if channels > 2 else f"{kind}greyscale"
        return f"a TIFF with {bits}-bit {colour}"
    except Exception:  # a damaged directory makes Pillow's reader raise many kinds of error
        return ""


def _first(tags: Any, tag: int, default: Any) -> Any:
    """A tag's value, the first where it has one for each channel."""
    value = tags.get(tag, default)
    return (value[0] if value else default) if isinstance(value, tuple) else value


def _number(value: Any) -> float:
    try:
        return float(str(value).strip("\0 ") if isinstance(value, str) else value)
    except (TypeError, ValueError, ZeroDivisionError):
        return float("nan")
