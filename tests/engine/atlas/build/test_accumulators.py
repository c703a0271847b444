"""The accumulators themselves: batches, compaction and saved states leave the result alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.atlas.build.accumulators import Accumulators, ItemBatch

M, P = 12, 5


def draw(rng: np.random.Generator, items: int) -> tuple[Any, ...]:
    """CSR codes of some items with ties among the values, labels and embeddings."""
    fires = rng.random((items * P, M)) < 0.3
    crow = np.concatenate([[0], np.cumsum(fires.sum(axis=1))])
    col = np.nonzero(fires)[1].astype(np.int32)
    val = rng.integers(-3, 6, len(col)).astype(np.float32)
    return crow, col, val, rng.integers(-1, 3, items).astype(np.int32), rng.normal(size=(items, 4)).astype(np.float32)


def fresh() -> Accumulators:
    return Accumulators(M, 3, 4, np.linspace(-3, 6, 10), top_n=4, reservoir=6)


def feed(acc: Accumulators, codes: tuple[Any, ...], first: int, start: int, end: int) -> None:
    """Add items ``start`` to ``end`` of some codes."""
    crow, col, val, labels, embeddings = codes
    low, high = crow[start * P], crow[end * P]
    rows = crow[start * P : end * P + 1] - low
    acc.add(ItemBatch(rows, col[low:high], val[low:high], first + start, P, labels[start:end], embeddings[start:end]))


def same(one: Accumulators, two: Accumulators) -> bool:
    one.compact()
    two.compact()
    a, b = one.state(), two.state()
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@given(seed=st.integers(0, 50), items=st.integers(1, 40), cut=st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_batches_and_saved_states_change_nothing(seed: int, items: int, cut: int) -> None:
    codes = draw(np.random.default_rng(seed), items)
    cut = min(cut, items)
    whole, parts = fresh(), fresh()
    feed(whole, codes, 0, 0, items)
    feed(parts, codes, 0, 0, cut)
    resumed = fresh()
    resumed.restore({name: array.copy() for name, array in parts.state().items()})
    feed(resumed, codes, 0, cut, items)
    assert same(whole, resumed)


def test_the_room_for_heat_maps_is_bounded_by_what_is_kept() -> None:
    acc, rng = fresh(), np.random.default_rng(0)
    acc.heat.positions, acc.heat.values = acc.heat.positions[:64], acc.heat.values[:64]
    sizes = []
    for batch in range(60):
        feed(acc, draw(rng, 10), batch * 10, 0, 10)
        sizes.append(len(acc.heat.values))
    assert sizes[-1] == sizes[20], "it grew with the number of items"
    acc.compact()
    kept = sum(int(lists.heat_size[lists.filled].sum()) for lists in (acc.top, acc.reservoir))
    assert acc.heat.used == kept
