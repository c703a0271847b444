"""Nearest atoms: an SAE finds all of itself, in any order and at any length; what has no direction matches nothing."""

from __future__ import annotations

import numpy as np
import torch

from engine.metrics import matching
from engine.metrics.matching import nearest


def test_a_dictionary_finds_itself_in_any_order() -> None:
    rows = torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    found = nearest(rows, 3 * rows[order])
    assert found.share == 1.0
    assert order[torch.from_numpy(found.other)].tolist() == list(range(40))
    np.testing.assert_allclose(found.cosine, 1, atol=1e-6)


def test_it_is_the_largest_cosine_whatever_the_block(monkeypatch) -> None:
    one, two = torch.randn(30, 8), torch.randn(21, 8)
    cosine = torch.nn.functional.cosine_similarity(one[:, None].double(), two[None].double(), dim=2)
    monkeypatch.setattr(matching, "ROWS_AT_ONCE", 7)
    found = nearest(one, two)
    np.testing.assert_allclose(found.cosine, cosine.max(1).values, atol=1e-6)
    assert found.other.tolist() == cosine.argmax(1).tolist()
    assert found.share == float((cosine.max(1).values >= matching.SAME).double().mean())


def test_an_atom_without_direction_matches_nothing() -> None:
    one = torch.eye(3)
    one[1] = 0
    found = nearest(one, torch.eye(3))
    assert found.other.tolist() == [0, -1, 2] and found.cosine.tolist() == [1, 0, 1]
