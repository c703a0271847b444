"""The sampled items of an atlas: their codes by token and by atom, and the atoms just below each threshold."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.atlas.format.header import Header
from engine.atlas.format.reading import GroupedTable, damaged_file, frame
from engine.atlas.format.schema import TOKENS_PER_GROUP


class SampledCodes:
    """Reads ``codes/`` (memory-mapped) and ``entrants.parquet``. A token here is its place among the sampled tokens."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._entrants = GroupedTable(header.path / "entrants.parquet")
        self._arrays: dict[str, NDArray[Any]] = {}

    @cached_property
    def items(self) -> NDArray[np.int32]:
        """Sampled items, ascending, int32 [S]."""
        return self._array("items")

    def row(self, item: int) -> int | None:
        """Place of an item in ``items``, or None when it is not sampled."""
        place = int(np.searchsorted(self.items, self._header.check_item(item)))
        return place if place < len(self.items) and self.items[place] == item else None

    def token(self, item: int, position: int) -> int | None:
        """The token at a position of an item, or None when the item is not sampled."""
        self._header.check_position(position)
        place = self.row(item)
        return None if place is None else place * self._header.n_positions + position

    def codes(self, token: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Atoms that fire on a token (ascending) and their activations, in code units."""
        start, end = self._array("token_crow")[token : token + 2]
        return self._array("token_col")[start:end], self._array("token_val")[start:end]

    def heat(self, row: int, atom: int) -> NDArray[np.float32]:
        """Activation of one atom at every position of a sampled item, float32 [P], 0 where it does not fire."""
        n_positions = self._header.n_positions
        start, end = self._array("atom_crow")[atom : atom + 2]
        tokens = self._array("atom_row")[start:end]
        low, high = np.searchsorted(tokens, [row * n_positions, (row + 1) * n_positions])
        heat = np.zeros(n_positions, np.float32)
        heat[tokens[low:high] - row * n_positions] = self._array("atom_val")[start + low : start + high]
        return heat

    def entrants(self, token: int) -> pd.DataFrame:
        """Atoms just below a token's threshold, nearest first: rank, atom, gap."""
        return frame(self._entrants.rows("token", token, TOKENS_PER_GROUP).drop_columns("token"))

    def _array(self, name: str) -> NDArray[Any]:
        if name in self._arrays:
            return self._arrays[name]
        path = self._header.path / "codes" / f"{name}.npy"
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise damaged_file(path, str(error)) from None
        self._arrays[name] = array
        return array
