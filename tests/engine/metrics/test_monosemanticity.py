"""Monosemanticity of all atoms at once against the loop over pairs."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics import MonosemanticitySums


def brute_force(a: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Weighted mean cosine over all ordered pairs of different items, atom by atom."""
    scores = []
    for weights in a.T:
        above = below = 0.0
        for i in range(len(e)):
            for j in range(len(e)):
                if i != j:
                    above += weights[i] * weights[j] * float(e[i] @ e[j])
                    below += weights[i] * weights[j]
        scores.append(above / below if below > 0 else np.nan)
    return np.array(scores)


def example(seed: int, items: int = 12, atoms: int = 9, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    e = random.normal(size=(items, width))
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    a = random.exponential(size=(items, atoms)) * (random.random((items, atoms)) < 0.4)
    a[:, 0] = 0  # never fires
    a[:, 1] = 0
    a[3, 1] = 0.7  # fires on one item only
    return a, e


def accumulate(a: np.ndarray, e: np.ndarray, batch: int) -> np.ndarray:
    sums = MonosemanticitySums(a.shape[1], e.shape[1])
    for start in range(0, len(e), batch):
        item, atom = np.nonzero(a[start : start + batch])
        values = a[start : start + batch][item, atom]
        sums.add(
            torch.from_numpy(atom), torch.from_numpy(item), torch.from_numpy(values),
            torch.from_numpy(e[start : start + batch]),
        )  # fmt: skip
    return sums.score()


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_equals_the_pair_loop_however_it_is_batched(seed: int, batch: int) -> None:
    a, e = example(seed)
    np.testing.assert_allclose(accumulate(a, e, batch), brute_force(a, e), rtol=1e-9, atol=1e-12)


def test_fewer_than_two_items_is_not_a_number() -> None:
    a, e = example(0)
    assert np.isnan(accumulate(a, e, 4)[:2]).all()


def test_identical_items_score_one_and_opposite_ones_minus_one() -> None:
    e = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    a = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(accumulate(a, e, 3), [1, -1])


def test_negative_activations_weigh_nothing() -> None:
    a, e = example(1)
    negative = a.copy()
    negative[5] = -1.0
    a[5] = 0
    np.testing.assert_allclose(accumulate(negative, e, 5), accumulate(a, e, 5))
