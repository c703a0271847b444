"""The heat maps of all listed items, one after another in two arrays that are compacted as items fall out of the lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.atlas.build.accumulators.item_lists import ItemLists
from engine.atlas.grouping import segments

FIRST_ROOM = 1 << 16


class HeatMaps:
    """Room for heat maps; the lists say where each of theirs begins and how long it is.

    Attributes
    ----------
    positions : uint16 [room]
        Position of each entry in its item.
    values : float32 [room]
        Activation of each entry, in code units.
    used : int
        Entries written so far; what lies behind them is free.
    """

    def __init__(self) -> None:
        self.positions: NDArray[np.uint16] = np.zeros(FIRST_ROOM, np.uint16)
        self.values: NDArray[np.float32] = np.zeros(FIRST_ROOM, np.float32)
        self.used = 0

    def make_room(self, wanted: int, lists: Sequence[ItemLists]) -> None:
        """Make room for ``wanted`` more entries: first drop the heat maps that no list refers to, then grow."""
        if self.used + wanted <= len(self.values):
            return
        self.compact(lists)
        if self.used + wanted > len(self.values) // 2:
            # At least half is free after a compaction, so that compacting costs O(1) for each entry.
            room = 2 * (self.used + wanted)
            positions, values = np.zeros(room, np.uint16), np.zeros(room, np.float32)
            positions[: self.used] = self.positions[: self.used]
            values[: self.used] = self.values[: self.used]
            self.positions, self.values = positions, values

    def compact(self, lists: Sequence[ItemLists]) -> None:
        """Keep only the heat maps that ``lists`` refer to, in the order of the lists, whose places are changed with them."""
        used = 0
        positions, values = np.empty_like(self.positions), np.empty_like(self.values)
        wanted = sum(int(part.heat_size[part.filled].sum()) for part in lists)
        if wanted > len(values):  # an item in several lists shared its heat map until now
            positions, values = np.empty(2 * wanted, np.uint16), np.empty(2 * wanted, np.float32)
        for part in lists:
            filled = part.filled
            sizes = part.heat_size[filled].astype(np.int64)
            source, offsets = segments(part.heat_start[filled], sizes)
            positions[used : used + len(source)] = self.positions[source]
            values[used : used + len(source)] = self.values[source]
            part.heat_start[filled] = used + offsets[:-1]
            used += len(source)
        self.positions, self.values, self.used = positions, values, used
