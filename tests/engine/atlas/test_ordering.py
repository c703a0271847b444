"""Stepping orders, against a plain recomputation."""

from __future__ import annotations

import numpy as np
import pytest

from engine.atlas import Atlas, ordering

ALL = ("live", "rare", "dense", "dead")


@pytest.mark.parametrize("by", list(ordering.ORDERS))
def test_an_order_holds_every_atom_once_and_is_sorted(shown: Atlas, by: str) -> None:
    sequence = ordering.order(shown, by, ALL)
    assert sorted(sequence.atoms) == list(range(shown.n_atoms))
    assert (sequence.atoms[sequence.place] == np.arange(shown.n_atoms)).all()
    _, column, largest_first = ordering.ORDERS[by]
    if column is not None:
        values = shown.atoms[column].to_numpy(float)[sequence.atoms]
        known = values[~np.isnan(values)]
        assert (np.diff(known) <= 0).all() if largest_first else (np.diff(known) >= 0).all()
        assert np.isnan(values[len(known) :]).all()  # dead atoms have no figure: they come last


def test_stepping_goes_round_and_comes_back_from_outside(shown: Atlas) -> None:
    sequence = ordering.order(shown, "id", ("live",))
    first, last = int(sequence.atoms[0]), int(sequence.atoms[-1])
    assert ordering.step(sequence, last, 1) == first
    assert ordering.step(sequence, first, -1) == last
    dead = int(shown.atoms.index[shown.atoms["status"] == "dead"][0])
    assert ordering.step(sequence, dead, 1) == first
    assert ordering.step(ordering.order(shown, "id", ()), 5, 1) == 5
