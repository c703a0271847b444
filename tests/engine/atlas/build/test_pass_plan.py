"""What the pass knows beforehand: histogram edges, sizes, numbers of labels."""

from __future__ import annotations

import numpy as np
import pytest

from engine.atlas.build.pass_plan import coactivation_size, histogram_edges, label_ids


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
