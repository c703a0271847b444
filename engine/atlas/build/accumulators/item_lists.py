"""A short list of items for every atom: the candidates for its exemplars."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class ItemLists(NamedTuple):
    """At most n items for each of M atoms, in no order, with the place of their heat maps.

    Attributes
    ----------
    size : int32 [M]
        How many columns of each row are filled.
    key : [M, n]
        What decides who stays: among the top exemplars the value (float32, the largest stay), in the reservoir a hash of
        atom and item (uint64, the smallest stay).
    item : int32 [M, n]
        Row of the item in the store.
    position : int16 [M, n]
        Position at which the atom's largest activation in the item is reached, the first among equals.
    value : float32 [M, n]
        That activation, in code units.
    heat_start : int64 [M, n]
        Where the item's heat map begins in :class:`~engine.atlas.build.accumulators.heat_maps.HeatMaps`.
    heat_size : int16 [M, n]
        Entries of the heat map.
    """

    size: NDArray[np.int32]
    key: NDArray[Any]
    item: NDArray[np.int32]
    position: NDArray[np.int16]
    value: NDArray[np.float32]
    heat_start: NDArray[np.int64]
    heat_size: NDArray[np.int16]

    @classmethod
    def empty(cls, n_atoms: int, length: int, key: type) -> ItemLists:
        """Empty lists of at most ``length`` items for ``n_atoms`` atoms, with keys of the type ``key``."""
        shape = (n_atoms, length)
        return cls(
            np.zeros(n_atoms, np.int32),
            np.zeros(shape, key),
            np.zeros(shape, np.int32),
            np.zeros(shape, np.int16),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int16),
        )

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Which columns hold an item, bool [M, n]."""
        filled: NDArray[np.bool_] = np.arange(self.key.shape[1])[None, :] < self.size[:, None]
        return filled
