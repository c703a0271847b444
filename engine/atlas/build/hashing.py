"""Deterministic sampling: whether something is chosen depends on its number alone, never on the order of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, inline="always")
def mix(value: np.uint64) -> np.uint64:
    """A 64-bit hash of a 64-bit number.

    Source: the finaliser of SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    value = np.uint64(value + np.uint64(0x9E3779B97F4A7C15))
    value = np.uint64((value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9))
    value = np.uint64((value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))
    return np.uint64(value ^ (value >> np.uint64(31)))


@njit(cache=True)
def _mix_all(values: Any, salt: np.uint64) -> Any:
    out = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        out[i] = mix(mix(np.uint64(values[i])) ^ salt)
    return out


def hashes(values: NDArray[Any], salt: int = 0) -> NDArray[np.uint64]:
    """A hash of each non-negative integer, uint64; another ``salt`` gives an independent hash."""
    mixed: NDArray[np.uint64] = _mix_all(np.asarray(values, np.int64), np.uint64(salt))
    return mixed


def choose(count: int, size: int, salt: int = 0) -> NDArray[np.int64]:
    """The ``size`` numbers below ``count`` with the smallest hash, ascending."""
    order = np.argsort(hashes(np.arange(count), salt), kind="stable")
    return np.sort(order[:size])
