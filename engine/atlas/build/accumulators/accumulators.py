"""Everything the atlas knows about an atom after the one pass, updated from CSR codes item by item.

Memory grows with the number of atoms only: counts, histograms and sums have one row for each atom, an atom lists at most
``top_n`` exemplars and ``RESERVOIR`` sampled items, and the heat maps of items that fall out of the lists are dropped.

Items arrive in ascending order and every sum runs in that order, so that the result does not depend on how items were cut
into batches, and a pass that was stopped and resumed ends with the same numbers bit by bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.atlas.build.accumulators.batch import ItemBatch, Scratch
from engine.atlas.build.accumulators.heat_maps import HeatMaps
from engine.atlas.build.accumulators.item_lists import ItemLists
from engine.atlas.build.accumulators.kernels import add_items
from engine.atlas.build.accumulators.sums import Counts, LabelCounts, Moments

RESERVOIR = 64
"""Firing items that an atom's reservoir holds: the quantile exemplars come from them."""

_TABLES = ("counts", "labels", "moments", "top", "reservoir")


class Accumulators:
    """All sums and lists of the pass.

    Parameters
    ----------
    n_atoms : int
        M.
    n_labels : int
        Labels that are counted, L.
    width : int
        Width of the item embeddings, e.
    edges : float64 [B + 1]
        Histogram edges, ascending, in code units.
    top_n : int
        Top exemplars that an atom keeps.
    reservoir : int
        Items that an atom's reservoir holds.

    Attributes
    ----------
    counts : Counts
    labels : LabelCounts
    moments : Moments
    top : ItemLists
        The items on which each atom is largest.
    reservoir : ItemLists
        A sample of the items on which each atom fires: those with the smallest hash of atom and item.
    heat : HeatMaps
        Heat maps of the items in both lists.
    """

    def __init__(
        self,
        n_atoms: int,
        n_labels: int,
        width: int,
        edges: NDArray[np.float64],
        top_n: int,
        reservoir: int = RESERVOIR,
    ) -> None:
        self.edges = np.ascontiguousarray(edges, np.float64)
        self.counts = Counts.zero(n_atoms, len(edges) - 1)
        self.labels = LabelCounts.zero(n_atoms, n_labels)
        self.moments = Moments.zero(n_atoms, width)
        self.top = ItemLists.empty(n_atoms, top_n, np.float32)
        self.reservoir = ItemLists.empty(n_atoms, reservoir, np.uint64)
        self.heat = HeatMaps()
        self._scratch = Scratch.empty(n_atoms)

    @property
    def n_bytes(self) -> int:
        """Memory that the arrays take, bytes."""
        arrays = [array for name in _TABLES for array in self._table(name)]
        arrays += [self.heat.positions, self.heat.values, self.edges, *self._scratch]
        return sum(array.nbytes for array in arrays)

    def add(self, batch: ItemBatch) -> None:
        """Add whole items; over the whole pass they come in ascending order."""
        self.heat.make_room(len(batch.col), (self.top, self.reservoir))
        self.heat.used = add_items(
            batch._replace(embeddings=np.ascontiguousarray(batch.embeddings, np.float32)),
            self.edges,
            self.counts,
            self.labels,
            self.moments,
            self.top,
            self.reservoir,
            self.heat.positions,
            self.heat.values,
            self.heat.used,
            self._scratch,
        )

    def compact(self) -> None:
        """Drop the heat maps that no list refers to."""
        self.heat.compact((self.top, self.reservoir))

    def state(self) -> dict[str, NDArray[Any]]:
        """Every array of the state by name; :meth:`restore` takes them back."""
        arrays = {f"{name}.{field}": array for name in _TABLES for field, array in self._table(name)._asdict().items()}
        heat = self.heat
        return arrays | {"heat.positions": heat.positions[: heat.used], "heat.values": heat.values[: heat.used]}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go back to a saved :meth:`state`."""
        for name in _TABLES:
            table = self._table(name)
            setattr(self, name, type(table)(**{field: arrays[f"{name}.{field}"] for field in table._fields}))
        self.heat.positions, self.heat.values = arrays["heat.positions"], arrays["heat.values"]
        self.heat.used = len(self.heat.values)

    def _table(self, name: str) -> Any:
        table: NamedTuple = getattr(self, name)
        return table
