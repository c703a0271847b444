"""Matching of dictionaries against trying every permutation."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.metrics import stability
from engine.metrics.stability import matching


@given(st.integers(0, 2**31))
def test_an_sae_against_itself_in_any_order_and_length_scores_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    atoms = torch.randn(20, 6, generator=generator)
    assert stability(atoms, atoms) == {"cosine": pytest.approx(1, abs=1e-12), "shared": 1.0, "pairs": 20}
    order = torch.randperm(20, generator=generator)
    lengths = torch.rand(20, 1, generator=generator) + 0.1
    rows, columns, cosines = matching(atoms, atoms[order] * lengths)
    assert order[torch.from_numpy(columns)].tolist() == rows.tolist() and cosines.min() > 1 - 1e-6


@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(2, 5))
def test_no_permutation_is_better(seed: int, first: int, second: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(first, 3, generator=generator, dtype=torch.float64)
    two = torch.randn(second, 3, generator=generator, dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity(one[:, None], two[None], dim=-1)
    if first > second:
        cosine = cosine.T
    best = max(
        sum(cosine[row, column].item() for row, column in enumerate(order))
        for order in permutations(range(cosine.shape[1]), len(cosine))
    )
    found = stability(one, two)
    assert found["pairs"] == min(first, second)
    assert found["cosine"] == pytest.approx(best / found["pairs"])


def test_shared_counts_pairs_above_the_bound_and_zero_rows_are_left_out() -> None:
    one = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    two = torch.tensor([[1.0, 0.2, 0], [0, 1, 2]])
    found = stability(one, two)
    assert found["pairs"] == 2 and found["shared"] == 0.5
    assert stability(torch.zeros(3, 2), one[:, :2])["pairs"] == 0


def test_bad_input() -> None:
    with pytest.raises(InputError, match="width 2 and 3"):
        stability(torch.ones(2, 2), torch.ones(2, 3))
    with pytest.raises(InputError, match=r"up to 16,384"):
        stability(torch.ones(20000, 1), torch.ones(2, 1))
