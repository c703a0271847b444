"""The compiled loops that add items to the accumulators.

Numba keeps compiled code until the file of the outermost function changes. So the loops stand in one file, and what enters
them are plain tuples: a named one would be kept by the name of its class, and compiled code that is older than a renaming could
not be loaded. Touch this file after a change of ``engine/atlas/build/hashing.py``, ``HEAT_KEPT`` or the order of the fields of
a table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.atlas.build.accumulators.batch import ItemBatch, Scratch
from engine.atlas.build.accumulators.item_lists import ItemLists
from engine.atlas.build.accumulators.sums import Counts, LabelCounts, Moments
from engine.atlas.build.hashing import mix
from engine.atlas.format.schema import HEAT_KEPT


def add_items(
    batch: ItemBatch,
    edges: NDArray[np.float64],
    counts: Counts,
    label_counts: LabelCounts,
    moments: Moments,
    top: ItemLists,
    reservoir: ItemLists,
    heat_positions: NDArray[np.uint16],
    heat_values: NDArray[np.float32],
    used: int,
    scratch: Scratch,
) -> int:
    """Add a batch of items to all accumulators; returns how many entries of the heat maps are used then.

    The heat maps must have room for as many further entries as the batch has.
    """
    tables = (counts, label_counts, moments, top, reservoir)
    plain = [tuple(table) for table in tables]
    return int(_add_items(tuple(batch), edges, *plain, heat_positions, heat_values, used, tuple(scratch)))


@njit(cache=True)
def _add_items(
    batch: Any,
    edges: Any,
    counts: Any,
    label_counts: Any,
    moments: Any,
    top: Any,
    reservoir: Any,
    heat_positions: Any,
    heat_values: Any,
    used: int,
    scratch: Any,
) -> int:
    crow, col, val, first_item, n_positions, labels, embeddings = batch
    label_tokens, label_items = label_counts
    top_size, top_key, top_item = top[0], top[1], top[2]
    sample_size, sample_key = reservoir[0], reservoir[1]
    firing, item_count, total, maximum, histogram = counts
    touched, best, head, tail, size, seen = scratch
    following = np.empty(len(col), np.int64)  # next entry of the same atom in the same item
    position_of = np.empty(len(col), np.uint16)
    pair_atom = np.empty(len(col), np.int32)
    pair_item = np.empty(len(col), np.int32)
    pair_share = np.empty(len(col), np.float32)
    n_pairs = 0
    n_bins = len(edges) - 1
    seen[:] = -1
    for local in range(len(labels)):
        item = first_item + local
        n_touched = 0
        for position in range(n_positions):
            token = local * n_positions + position
            for entry in range(crow[token], crow[token + 1]):
                atom, value = col[entry], val[entry]
                firing[atom] += 1
                total[atom] += value
                bin_ = np.searchsorted(edges, np.float64(value), side="right") - 1
                histogram[atom, min(max(bin_, 0), n_bins - 1)] += 1
                position_of[entry] = position
                following[entry] = -1
                if seen[atom] != item:
                    seen[atom] = item
                    touched[n_touched] = atom
                    n_touched += 1
                    best[atom] = head[atom] = tail[atom] = entry
                    size[atom] = 1
                else:
                    following[tail[atom]] = entry
                    tail[atom] = entry
                    size[atom] += 1
                    if value > val[best[atom]]:
                        best[atom] = entry
        for i in range(n_touched):
            atom = touched[i]
            value = val[best[atom]]
            item_count[atom] += 1
            maximum[atom] = max(maximum[atom], value)
            label = labels[local]
            if label >= 0:
                label_tokens[atom, label] += size[atom]
                label_items[atom, label] += 1
            pair_atom[n_pairs] = atom
            pair_item[n_pairs] = local
            pair_share[n_pairs] = max(value, np.float32(0))
            n_pairs += 1

            priority = mix(mix(np.uint64(item)) ^ np.uint64(atom))
            place_top = _place_top(top_key[atom], top_item[atom], top_size[atom], value)
            place_sample = _place_sample(sample_key[atom], sample_size[atom], priority)
            if place_top < 0 and place_sample < 0:
                continue
            kept = _write_heat(head[atom], size[atom], following, position_of, val, heat_positions, heat_values, used)
            if place_top >= 0:
                _put(top, atom, place_top, value, item, position_of[best[atom]], value, used, kept)
            if place_sample >= 0:
                _put(reservoir, atom, place_sample, priority, item, position_of[best[atom]], value, used, kept)
            used += kept
    _add_moments(pair_atom[:n_pairs], pair_item, pair_share, embeddings, moments)
    return used


@njit(cache=True)
def _add_moments(atoms: Any, items: Any, shares: Any, embeddings: Any, moments: Any) -> None:
    """Add a e, a and a^2 of every (atom, item) pair; ``atoms`` gives their number.

    They are added atom by atom, items ascending: a row of ``mixed`` is then fetched once for each batch and not once for
    each pair, which would be the slowest part of the pass.
    """
    mixed, weight, squares = moments
    start = np.zeros(len(weight) + 1, np.int64)
    for atom in atoms:
        start[atom + 1] += 1
    start = np.cumsum(start)
    order = np.empty(len(atoms), np.int64)
    place = start.copy()
    for pair in range(len(atoms)):
        order[place[atoms[pair]]] = pair
        place[atoms[pair]] += 1
    for atom in range(len(weight)):
        row = mixed[atom]
        for pair in order[start[atom] : start[atom + 1]]:
            share = np.float64(shares[pair])
            weight[atom] += share
            squares[atom] += share * share
            embedding = embeddings[items[pair]]
            for j in range(len(row)):
                row[j] += share * embedding[j]


@njit(cache=True)
def _place_top(values: Any, items: Any, count: int, value: Any) -> int:
    """The column that a new value takes: a free one, or that of the least value, the latest among equals; -1 for none.

    Items come in ascending order, so that an equal value never displaces an earlier item.
    """
    if count < len(values):
        return count
    least = 0
    for i in range(1, count):
        if values[i] < values[least] or (values[i] == values[least] and items[i] > items[least]):
            least = i
    return least if count > 0 and value > values[least] else -1


@njit(cache=True)
def _place_sample(priorities: Any, count: int, priority: Any) -> int:
    """The column that a new item takes in the reservoir: a free one, or that of the largest hash; -1 for none."""
    if count < len(priorities):
        return count
    largest = 0
    for i in range(1, count):
        if priorities[i] > priorities[largest]:
            largest = i
    return largest if count > 0 and priority < priorities[largest] else -1


@njit(cache=True)
def _put(lists: Any, atom: int, place: int, key: Any, item: int, position: int, value: Any, start: int, n: int) -> None:
    """Write one item, with the place of its heat map, into column ``place`` of an atom's list."""
    size, keys, items, positions, values, starts, sizes = lists
    keys[atom, place] = key
    items[atom, place] = item
    positions[atom, place] = position
    values[atom, place] = value
    starts[atom, place] = start
    sizes[atom, place] = n
    size[atom] = max(size[atom], place + 1)


@njit(cache=True)
def _write_heat(
    head: int, size: int, following: Any, position_of: Any, val: Any, positions: Any, values: Any, used: int
) -> int:
    """Append one heat map: all entries, or the ``HEAT_KEPT`` largest (ties to the earlier position); returns how many."""
    least, spare = -np.inf, size
    if size > HEAT_KEPT:
        every = np.empty(size, np.float32)
        entry = head
        for i in range(size):
            every[i] = val[entry]
            entry = following[entry]
        every = np.sort(every)
        least = every[size - HEAT_KEPT]
        spare = HEAT_KEPT - (size - np.searchsorted(every, least, side="right"))
    kept = 0
    entry = head
    while entry >= 0:
        value = val[entry]
        if value > least or (value == least and spare > 0):
            if value == least:
                spare -= 1
            positions[used + kept] = position_of[entry]
            values[used + kept] = value
            kept += 1
        entry = following[entry]
    return kept
