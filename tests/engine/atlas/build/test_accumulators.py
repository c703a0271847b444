"""The accumulators themselves: batches, compaction and saved states leave the result alone; choices follow hashes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.atlas.build.accumulators import Accumulators, Batch
from engine.atlas.build.hashing import choose, hashes
from engine.atlas.build.pass_plan import coactivation_size, histogram_edges, label_ids

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
    acc.add(Batch(rows, col[low:high], val[low:high], first + start, P, labels[start:end], embeddings[start:end]))


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


def test_hashes_spread_and_depend_on_the_salt() -> None:
    mixed = hashes(np.arange(10_000))
    assert len(np.unique(mixed)) == 10_000
    assert np.histogram(mixed.astype(np.float64), 10, (0, 2.0**64))[0].min() > 900
    assert not np.array_equal(mixed, hashes(np.arange(10_000), 1))


def test_choices_are_nested() -> None:
    """A larger sample contains the smaller one, and adding items only adds choices among them."""
    assert set(choose(100, 5)) <= set(choose(100, 9))
    assert choose(3, 9).tolist() == [0, 1, 2]
    assert {i for i in choose(200, 9) if i < 100} <= set(choose(100, 9))


@pytest.mark.parametrize(
    "values", [[], [0.0], [2.5] * 7, [-1.0, 2.0], [-3.0, -0.1], [1e-30, 1e-20], [1e20, 3e20], list(range(1, 500))]
)
def test_edges_ascend_and_hold_the_sample(values: list[float]) -> None:
    edges = histogram_edges(np.array(values, np.float32))
    assert len(edges) == 65 and np.isfinite(edges).all() and (np.diff(edges) > 0).all()
    if values:
        assert edges[0] <= np.float32(min(values)) and np.float32(max(values)) <= edges[-1]
        shuffled = np.random.default_rng(0).permutation(np.array(values, np.float32))
        assert np.array_equal(edges, histogram_edges(shuffled))
    if values and min(values) > 0:
        assert edges[0] >= 0


def test_the_coactivation_sample_is_bounded_in_entries_and_pairs() -> None:
    assert coactivation_size(np.array([3, 4]), 1000) == 1000
    assert coactivation_size(np.full(10, 50), 10**9) == 131_072
    assert coactivation_size(np.full(10, 6000), 10**9) == 2_000_000_000 // 6000**2
    assert coactivation_size(np.zeros(0, np.int64), 5) == 0


def test_labels_are_numbered_by_frequency_and_bounded() -> None:
    ids, names = label_ids(["b", "", "a", "b", "c", "c"], 10)
    assert names == ["b", "c", "a"] and ids.tolist() == [0, -1, 2, 0, 1, 1]
    ids, names = label_ids(["b", "", "a", "b"], 50_000_000)
    assert names == ["b"] and ids.tolist() == [0, -1, -1, 0]
