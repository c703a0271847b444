"""Filters: what they keep, and that their text means the same filter."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.components.atom_map.filters import STATUSES, AtomFilter, numeric_columns
from engine.errors import InputError

ATOMS = pd.DataFrame(
    {
        "status": ["live", "rare", "dense", "dead", "live"],
        "frequency": np.array([0.01, 1e-6, 0.5, 0.0, 0.02], np.float32),
        "label_entropy": np.array([0.5, np.nan, 2.0, np.nan, 1.0], np.float32),
        "label": ["a", "b", "c", "d", "e"],
        "x": np.zeros(5, np.float32),
        "cluster": np.zeros(5, np.int32),
    }
)


def test_keeps_by_status_and_range() -> None:
    assert AtomFilter().mask(ATOMS).all()
    assert AtomFilter(frozenset({"dead", "dense"})).mask(ATOMS).tolist() == [True, True, False, False, True]
    assert AtomFilter(column="frequency", low=0.01, high=0.1).mask(ATOMS).tolist() == [False, False, False, False, True]


def test_an_atom_without_a_value_is_outside_every_range() -> None:
    assert AtomFilter(column="label_entropy").mask(ATOMS).tolist() == [True, False, True, False, True]


limits = st.one_of(st.just(-math.inf), st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: float(f"{v:.6g}")))


@given(st.frozensets(st.sampled_from(STATUSES)), st.sampled_from(["", "frequency", "label_entropy"]), limits, limits)
def test_text_round_trip(hide: frozenset[str], column: str, low: float, high: float) -> None:
    high = -high if math.isinf(high) else high
    wanted = AtomFilter(hide, column, low, high) if column else AtomFilter(hide)
    assert AtomFilter.from_query(wanted.to_query(), ATOMS) == wanted


@pytest.mark.parametrize(
    "query",
    [
        {"hide": "nobody"},
        {"range": "label:0:1"},
        {"range": "x:0:1"},
        {"range": "frequency:a:b"},
        {"range": "frequency:nan:1"},
        {"range": "__class__:0:1"},
        {"range": ":::"},
    ],
)
def test_bad_text_is_one_sentence(query: dict[str, str]) -> None:
    with pytest.raises(InputError) as error:
        AtomFilter.from_query(query, ATOMS)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_coordinates_and_clusters_do_not_order_atoms() -> None:
    assert numeric_columns(ATOMS) == ["frequency", "label_entropy"]
