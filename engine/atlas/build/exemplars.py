"""From the lists of the pass to the rows of ``exemplars.parquet``: the order, the quantile bands and the heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.atlas.build.accumulate import Accumulators
from engine.atlas.build.grouping import place_among_equals, place_in_group, segments
from engine.atlas.format.writer import Exemplars

BANDS = 4
BAND_SIZE = 3


def exemplar_rows(acc: Accumulators) -> Exemplars:
    """All exemplars in the order of the format: atom, then ``top`` by value, then ``quantile`` by value."""
    top, sample = _flat(acc.top), _flat(acc.reservoir)
    order = np.lexsort((top["item"], -top["value"], top["atom"]))
    top = {name: values[order] for name, values in top.items()}
    top_rank = place_in_group(top["atom"])
    # Items with a larger value are exactly the ones before the first of equal value.
    above = top_rank - place_among_equals(top["atom"], top["value"])
    top_quantile = 1.0 - above / acc.item_count[top["atom"]]

    order = np.lexsort((sample["item"], -sample["value"], sample["atom"]))
    sample = {name: values[order] for name, values in sample.items()}
    sizes = acc.reservoir.count[sample["atom"]]
    above = place_in_group(sample["atom"]) - place_among_equals(sample["atom"], sample["value"])
    quantile = 1.0 - above / sizes

    n_items = int(max(top["item"].max(initial=0), sample["item"].max(initial=0))) + 1
    in_top = np.isin(sample["atom"] * n_items + sample["item"], top["atom"] * n_items + top["item"])
    rest = {name: values[~in_top] for name, values in sample.items()}
    quantile = quantile[~in_top]
    left = np.bincount(rest["atom"], minlength=len(acc.item_count))
    band = place_in_group(rest["atom"]) * BANDS // np.maximum(left[rest["atom"]], 1)
    by_hash = np.lexsort((rest["key"], band, rest["atom"]))
    chosen = np.zeros(len(band), bool)
    chosen[by_hash] = place_in_group(rest["atom"][by_hash] * BANDS + band[by_hash]) < BAND_SIZE
    rest = {name: values[chosen] for name, values in rest.items()}

    kind = np.repeat(np.array([0, 1], np.int8), [len(top["atom"]), len(rest["atom"])])
    rows = {
        name: np.concatenate([top[name], rest[name]]) for name in ("atom", "item", "position", "value", "heat", "size")
    }
    rank = np.concatenate([top_rank, place_in_group(rest["atom"])])
    share = np.concatenate([top_quantile, quantile[chosen]])
    order = np.lexsort((rank, kind, rows["atom"]))
    source, offsets = segments(rows["heat"][order], rows["size"][order].astype(np.int64))
    return Exemplars(
        atom=rows["atom"][order].astype(np.int32),
        kind=kind[order],
        rank=rank[order].astype(np.int16),
        item=rows["item"][order],
        position=rows["position"][order],
        value=rows["value"][order],
        quantile=share[order].astype(np.float32),
        heat_offsets=offsets,
        heat_positions=acc.arena_positions[source],
        heat_values=acc.arena_values[source],
    )


def _flat(slots: Any) -> dict[str, NDArray[Any]]:
    filled = slots.filled
    return {
        "atom": np.nonzero(filled)[0],
        "item": slots.item[filled],
        "position": slots.position[filled],
        "value": slots.value[filled],
        "key": slots.key[filled],
        "heat": slots.heat[filled],
        "size": slots.heat_size[filled],
    }
