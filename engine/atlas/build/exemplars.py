"""Stage 6, the exemplars: from the lists of the pass to the rows of ``exemplars.parquet``, with order, bands and heat maps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.atlas.build.accumulators import Accumulators
from engine.atlas.build.accumulators.item_lists import ItemLists
from engine.atlas.format.writer import Exemplars
from engine.atlas.grouping import place_among_equals, place_in_group, segments

BANDS = 4
"""Bands of equal size into which the sampled items below the top are cut, by value."""

BAND_SIZE = 3
"""Quantile exemplars of each band at most."""


class _Listed(NamedTuple):
    """The filled places of all atoms' lists, one row for each: columns as in :class:`ItemLists`."""

    atom: NDArray[np.int64]
    item: NDArray[np.int32]
    position: NDArray[np.int16]
    value: NDArray[np.float32]
    key: NDArray[Any]
    heat_start: NDArray[np.int64]
    heat_size: NDArray[np.int16]

    @classmethod
    def of(cls, lists: ItemLists) -> _Listed:
        """The rows of all lists, by atom and value (largest first), ties to the earlier item."""
        filled = lists.filled
        columns: tuple[Any, ...] = (
            lists.item,
            lists.position,
            lists.value,
            lists.key,
            lists.heat_start,
            lists.heat_size,
        )
        rows = cls(np.nonzero(filled)[0], *(column[filled] for column in columns))
        return rows.take(np.lexsort((rows.item, -rows.value, rows.atom)))

    def take(self, rows: NDArray[Any]) -> _Listed:
        """The rows with these numbers, or where a mask is true."""
        return _Listed(*(column[rows] for column in self))

    def above(self) -> NDArray[np.int64]:
        """How many rows of the same atom have a larger value: those before the first of equal value."""
        return place_in_group(self.atom) - place_among_equals(self.atom, self.value)


def choose_exemplars(accumulators: Accumulators) -> Exemplars:
    """All exemplars in the order of the format: atom, then ``top`` by value, then ``quantile`` by value."""
    top, sample = _Listed.of(accumulators.top), _Listed.of(accumulators.reservoir)
    top_quantile = 1.0 - top.above() / accumulators.counts.item_count[top.atom]
    quantile = 1.0 - sample.above() / accumulators.reservoir.size[sample.atom]

    n_items = int(max(top.item.max(initial=0), sample.item.max(initial=0))) + 1
    below_top = ~np.isin(sample.atom * n_items + sample.item, top.atom * n_items + top.item)
    rest, quantile = sample.take(below_top), quantile[below_top]
    chosen = _from_bands(rest)
    rest, quantile = rest.take(chosen), quantile[chosen]

    atom, item, position, value, heat_start, heat_size = (
        np.concatenate([getattr(top, name), getattr(rest, name)])
        for name in ("atom", "item", "position", "value", "heat_start", "heat_size")
    )
    kind = np.repeat(np.array([0, 1], np.int8), [len(top.atom), len(rest.atom)])
    rank = np.concatenate([place_in_group(top.atom), place_in_group(rest.atom)])
    share = np.concatenate([top_quantile, quantile])
    order = np.lexsort((rank, kind, atom))
    source, offsets = segments(heat_start[order], heat_size[order].astype(np.int64))
    return Exemplars(
        atom=atom[order].astype(np.int32),
        kind=kind[order],
        rank=rank[order].astype(np.int16),
        item=item[order],
        position=position[order],
        value=value[order],
        quantile=share[order].astype(np.float32),
        heat_offsets=offsets,
        heat_positions=accumulators.heat.positions[source],
        heat_values=accumulators.heat.values[source],
    )


def _from_bands(rest: _Listed) -> NDArray[np.bool_]:
    """Which rows are quantile exemplars: from each band of each atom the ``BAND_SIZE`` with the smallest hash."""
    left = np.bincount(rest.atom)
    band = place_in_group(rest.atom) * BANDS // np.maximum(left[rest.atom], 1)
    by_hash = np.lexsort((rest.key, band, rest.atom))
    chosen = np.zeros(len(band), bool)
    chosen[by_hash] = place_in_group(rest.atom[by_hash] * BANDS + band[by_hash]) < BAND_SIZE
    return chosen
