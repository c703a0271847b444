"""The accumulators of the one pass: everything the atlas knows about an atom, updated from CSR codes item by item.

Memory grows with the number of atoms only: counts, histograms and sums have one row an atom, an atom keeps at most ``top_n``
exemplars and ``sample`` reservoir items, and their heat maps lie in one arena that is compacted as exemplars fall out.

Items arrive in ascending order and every sum runs in that order, so that the result does not depend on how items were cut
into batches, and a pass that was stopped and resumed ends with the same numbers bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.atlas.build.grouping import segments
from engine.atlas.build.hashing import mix
from engine.atlas.format.schema import HEAT_KEPT

SAMPLE = 64
"""Firing items an atom's reservoir holds: the quantile exemplars come from them."""

LABEL_CELLS = 50_000_000
"""Atoms times labels that are counted at most: 600 MB."""


@dataclass
class Slots:
    """For every atom a short list of items, in no order, with the place of their heat map in the arena.

    ``count`` [M] says how many of the columns are filled; ``key`` [M, n] is what decides who stays: the value, the largest
    stay, for the top exemplars; a hash of atom and item, the smallest stay, for the reservoir.
    """

    count: NDArray[np.int32]
    key: NDArray[Any]
    item: NDArray[np.int32]
    position: NDArray[np.int16]
    value: NDArray[np.float32]
    heat: NDArray[np.int64]
    heat_size: NDArray[np.int16]

    @classmethod
    def empty(cls, n_atoms: int, size: int, key: type) -> Slots:
        """Lists of at most ``size`` items for ``n_atoms`` atoms."""
        shape = (n_atoms, size)
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
        filled: NDArray[np.bool_] = np.arange(self.key.shape[1])[None, :] < self.count[:, None]
        return filled


class Accumulators:
    """All per-atom sums of the pass.

    Parameters
    ----------
    n_atoms : int
        M.
    n_labels : int
        Labels that are counted, L.
    width : int
        Width of the item embeddings, e.
    edges : float64 [B + 1]
        Histogram edges, ascending.
    top_n : int
        Top exemplars an atom keeps.

    Attributes
    ----------
    firing, item_count : int64 [M]
        Tokens and items on which the atom fires.
    total : float64 [M]
        Sum of its activations over tokens.
    maximum : float32 [M]
        Largest activation; -inf when it never fired.
    histogram : int64 [M, B]
    label_tokens, label_items : int64, int32 [M, L]
    mixed : float64 [M, e]; weight, squares : float64 [M]
        Sums over items of a e, a and a^2, with a the atom's largest activation in the item, not below 0.
    """

    def __init__(
        self, n_atoms: int, n_labels: int, width: int, edges: NDArray[np.float64], top_n: int, sample: int = SAMPLE
    ) -> None:
        self.edges = np.ascontiguousarray(edges, np.float64)
        self.firing = np.zeros(n_atoms, np.int64)
        self.item_count = np.zeros(n_atoms, np.int64)
        self.total = np.zeros(n_atoms, np.float64)
        self.maximum = np.full(n_atoms, -np.inf, np.float32)
        self.histogram = np.zeros((n_atoms, len(edges) - 1), np.int64)
        self.label_tokens = np.zeros((n_atoms, n_labels), np.int64)
        self.label_items = np.zeros((n_atoms, n_labels), np.int32)
        self.mixed = np.zeros((n_atoms, width), np.float64)
        self.weight = np.zeros(n_atoms, np.float64)
        self.squares = np.zeros(n_atoms, np.float64)
        self.top = Slots.empty(n_atoms, top_n, np.float32)
        self.reservoir = Slots.empty(n_atoms, sample, np.uint64)
        self.arena_positions = np.zeros(1 << 16, np.uint16)
        self.arena_values = np.zeros(1 << 16, np.float32)
        self.arena_used = 0
        self._scratch = np.empty((6, n_atoms), np.int64)

    def add(
        self,
        crow: NDArray[np.int64],
        col: NDArray[np.int32],
        val: NDArray[np.float32],
        first_item: int,
        n_positions: int,
        labels: NDArray[np.int32],
        embeddings: NDArray[np.float32],
    ) -> None:
        """Add whole items, in ascending order over the whole pass.

        Parameters
        ----------
        crow, col, val
            CSR codes of their tokens, item by item and position by position.
        first_item : int
            Row of the first one; the others follow.
        labels : int32 [items]
            Label of each, below L, or -1 for none.
        embeddings : float32 [items, e]
            Unit rows.
        """
        self._make_room(len(col))
        self.arena_used = _add_items(
            crow,
            col,
            val,
            first_item,
            n_positions,
            labels,
            np.ascontiguousarray(embeddings, np.float32),
            self.edges,
            (self.firing, self.item_count, self.total, self.maximum, self.histogram),
            (self.label_tokens, self.label_items),
            (self.mixed, self.weight, self.squares),
            _arrays(self.top),
            _arrays(self.reservoir),
            (self.arena_positions, self.arena_values),
            self.arena_used,
            self._scratch,
        )

    def _make_room(self, wanted: int) -> None:
        """Make the arena hold ``wanted`` more entries: first drop heat maps nobody refers to, then grow."""
        if self.arena_used + wanted <= len(self.arena_values):
            return
        self.compact()
        if self.arena_used + wanted > len(self.arena_values) // 2:
            # At least half free after compaction, so that compacting costs O(1) an entry.
            size = 2 * (self.arena_used + wanted)
            for name in ("arena_positions", "arena_values"):
                old = getattr(self, name)
                new = np.zeros(size, old.dtype)
                new[: self.arena_used] = old[: self.arena_used]
                setattr(self, name, new)

    def compact(self) -> None:
        """Rewrite the arena with the heat maps of the current exemplars only, in the order of the lists."""
        used = 0
        positions, values = np.empty_like(self.arena_positions), np.empty_like(self.arena_values)
        wanted = sum(int(slots.heat_size[slots.filled].sum()) for slots in (self.top, self.reservoir))
        if wanted > len(values):  # an item in both lists shares its heat map until now
            positions, values = np.empty(2 * wanted, np.uint16), np.empty(2 * wanted, np.float32)
        for slots in (self.top, self.reservoir):
            filled = slots.filled
            sizes = slots.heat_size[filled].astype(np.int64)
            source, offsets = segments(slots.heat[filled], sizes)
            positions[used : used + len(source)] = self.arena_positions[source]
            values[used : used + len(source)] = self.arena_values[source]
            slots.heat[filled] = used + offsets[:-1]
            used += len(source)
        self.arena_positions, self.arena_values, self.arena_used = positions, values, used

    def state(self) -> dict[str, NDArray[Any]]:
        """Every array of the state by name; ``restore`` takes them back."""
        names = [name for name, value in vars(self).items() if isinstance(value, np.ndarray) and name[0] != "_"]
        arrays = {name: getattr(self, name) for name in names}
        for name in ("arena_positions", "arena_values"):
            arrays[name] = arrays[name][: self.arena_used]
        for name in ("top", "reservoir"):
            slots = getattr(self, name)
            arrays |= {f"{name}.{entry.name}": getattr(slots, entry.name) for entry in fields(slots)}
        return arrays

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go back to a saved ``state``."""
        for name, array in arrays.items():
            owner, _, attribute = name.rpartition(".")
            setattr(getattr(self, owner) if owner else self, attribute, array)
        self.arena_used = len(self.arena_values)


def _arrays(slots: Slots) -> tuple[NDArray[Any], ...]:
    return tuple(getattr(slots, entry.name) for entry in fields(slots))


@njit(cache=True)
def _add_items(
    crow: Any,
    col: Any,
    val: Any,
    first_item: int,
    n_positions: int,
    labels: Any,
    embeddings: Any,
    edges: Any,
    counts: Any,
    by_label: Any,
    moments: Any,
    top: Any,
    reservoir: Any,
    arena: Any,
    used: int,
    scratch: Any,
) -> int:
    """``Accumulators.add``; returns the new ``arena_used``. ``scratch`` is int64 [6, M]."""
    firing, item_count, total, maximum, histogram = counts
    label_tokens, label_items = by_label
    touched, best, head, tail, size, seen = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5]
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
            place_top = _place_top(top[1][atom], top[2][atom], top[0][atom], value)
            place_sample = _place_sample(reservoir[1][atom], reservoir[0][atom], priority)
            if place_top < 0 and place_sample < 0:
                continue
            kept = _write_heat(head[atom], size[atom], following, position_of, val, arena[0], arena[1], used)
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

    Atom by atom, items ascending: a row of ``mixed`` is then fetched once a batch and not once a pair, which would be the
    slowest part of the pass.
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
    """The column a new value takes: a free one, or that of the least value, the latest among equals; -1 if it stays out.

    Items come in ascending order, so an equal value never displaces an earlier item.
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
    """The column a new item takes in the reservoir: a free one, or that of the largest hash; -1 if it stays out."""
    if count < len(priorities):
        return count
    largest = 0
    for i in range(1, count):
        if priorities[i] > priorities[largest]:
            largest = i
    return largest if count > 0 and priority < priorities[largest] else -1


@njit(cache=True)
def _put(slots: Any, atom: int, place: int, key: Any, item: int, position: int, value: Any, heat: int, n: int) -> None:
    """Write one item into column ``place`` of an atom's list."""
    count, keys, items, positions, values, heats, sizes = slots
    keys[atom, place] = key
    items[atom, place] = item
    positions[atom, place] = position
    values[atom, place] = value
    heats[atom, place] = heat
    sizes[atom, place] = n
    count[atom] = max(count[atom], place + 1)


@njit(cache=True)
def _write_heat(
    head: int, size: int, following: Any, position_of: Any, val: Any, positions: Any, values: Any, used: int
) -> int:
    """Append one heat map to the arena: all entries, or the ``HEAT_KEPT`` largest (ties to the earlier position)."""
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
