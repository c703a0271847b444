"""Choices follow hashes of what is chosen."""

from __future__ import annotations

import numpy as np

from engine.atlas.build.hashing import choose, hashes


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
