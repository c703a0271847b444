"""Small vectorised steps on sorted rows: places inside groups, and many segments as one index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def segments(start: NDArray[np.int64], size: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of many segments one after the other, and the offsets [n + 1] of each in that sequence."""
    offsets = np.zeros(len(size) + 1, np.int64)
    np.cumsum(size, out=offsets[1:])
    index = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], size)
    return index, offsets


def place_in_group(group: NDArray[Any]) -> NDArray[np.int64]:
    """Place of each row among the rows of its group; rows of a group stand together."""
    new = _new(group)
    return np.arange(len(group)) - np.flatnonzero(new)[np.cumsum(new) - 1]


def place_among_equals(group: NDArray[Any], value: NDArray[Any]) -> NDArray[np.int64]:
    """Place of each row among the rows before it with the same group and value; equal rows stand together."""
    return place_in_group(np.cumsum(_new(group) | _new(value)))


def _new(group: NDArray[Any]) -> NDArray[np.bool_]:
    """True where a row begins another group than the row before it."""
    new = np.ones(len(group), bool)
    new[1:] = group[1:] != group[:-1]
    return new
