"""Scales: log where it helps, limits that hold the data, ticks inside the limits, categories that stay few."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from app.components.atom_map.scales import (
    MAX_CATEGORIES,
    OKABE_ITO,
    axis_scale,
    categories_of,
    color_scale,
    is_heavy_tailed,
    short_number,
)


def test_heavy_tails_are_logarithmic() -> None:
    random = np.random.default_rng(0)
    assert is_heavy_tailed(10 ** random.uniform(-5, -1, 1000))
    assert not is_heavy_tailed(random.uniform(0, 1, 1000))
    assert not is_heavy_tailed(random.normal(size=1000))
    assert not is_heavy_tailed(np.array([]))


def test_an_outlier_does_not_flatten_the_colours() -> None:
    values = pd.Series(np.append(np.linspace(0, 1, 999), 1e6), name="mean_activation")
    assert color_scale(values).high < 2
    assert axis_scale(pd.Series(np.linspace(0, 1, 9), name="x")).high == 1


def test_frequency_axis_is_logarithmic_and_ignores_zeros() -> None:
    scale = axis_scale(pd.Series([0.0, 1e-4, 0.5, np.nan], name="frequency"))
    assert scale.log
    assert (scale.low, scale.high) == (1e-4, 0.5)


@given(arrays.arrays(np.float64, st.integers(0, 40), elements=st.floats(-1e12, 1e12) | st.just(float("nan"))))
def test_limits_are_ordered_and_ticks_lie_inside(values: np.ndarray) -> None:
    for scale in (color_scale(pd.Series(values, name="v")), axis_scale(pd.Series(values, name="v"))):
        assert np.isfinite([scale.low, scale.high]).all()
        assert scale.low < scale.high
        assert not scale.log or scale.low > 0
        slack = 1e-6 * (abs(scale.low) + abs(scale.high))
        assert all(scale.low - slack <= tick <= scale.high + slack for tick, _ in scale.ticks)
        assert all(text for _, text in scale.ticks)


def test_categories_are_the_most_frequent_and_the_rest_is_grey() -> None:
    clusters = np.repeat(np.arange(12), np.arange(1, 13))
    atoms = pd.DataFrame({"cluster": np.append(clusters, [-1, -1]).astype(np.int32)})
    codes, categories = categories_of(atoms, "cluster", {11: "cats"})
    assert len(categories) == MAX_CATEGORIES
    assert (categories[0].name, categories[0].count, categories[0].color) == ("cats", 12, OKABE_ITO[0])
    assert categories[-1].color == ""  # the theme's text colour
    assert (codes[-2:] == -1).all() and (codes[: len(clusters)][clusters < 4] == -1).all()
    assert ((codes == 0) == (atoms["cluster"] == 11)).all()


def test_empty_labels_are_no_category() -> None:
    codes, categories = categories_of(pd.DataFrame({"top_label": ["", "cat", "cat", ""]}), "top_label", {})
    assert [c.name for c in categories] == ["cat"]
    assert codes.tolist() == [-1, 0, 0, -1]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12_000, "12k"), (0.25, "0.25"), (3e-5, "3e-5"), (2e7, "2e7"), (-1500, "-1.5k")]
)
def test_short_numbers(value: float, text: str) -> None:
    assert short_number(value) == text
