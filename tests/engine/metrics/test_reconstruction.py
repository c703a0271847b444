"""FVU and explained variance: float64 oracle and the values they must take."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.metrics import ReconstructionSums, explained_variance, explained_variance_uncentred, fvu


def data(n: int = 500, d: int = 8, mean: float = 3.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0)) + mean


def test_matches_the_definition_in_float64() -> None:
    x = data()
    x_hat = x + 0.3 * data(mean=0.0).flip(0)
    a, b = x.double().numpy(), x_hat.double().numpy()
    error = ((a - b) ** 2).sum()
    assert fvu(x, x_hat) == pytest.approx(error / ((a - a.mean(0)) ** 2).sum(), rel=1e-12)
    assert explained_variance(x, x_hat) == pytest.approx(1 - fvu(x, x_hat), rel=1e-12)
    assert explained_variance_uncentred(x, x_hat) == pytest.approx(1 - error / (a**2).sum(), rel=1e-12)


def test_predicting_the_mean_scores_one_and_zero() -> None:
    x = data(mean=50.0)
    mean = x.double().mean(0).expand_as(x)
    assert fvu(x, mean) == pytest.approx(1, abs=1e-9)
    assert explained_variance(x, mean) == pytest.approx(0, abs=1e-9)
    assert explained_variance_uncentred(x, mean) > 0.99, "the trap: the uncentred figure looks excellent"


def test_perfect_and_constant() -> None:
    x = data()
    assert fvu(x, x) == 0 and explained_variance(x, x) == 1
    assert math.isnan(fvu(torch.ones(5, 3), torch.ones(5, 3)))
    assert explained_variance_uncentred(x, torch.zeros_like(x)) == 0


@pytest.mark.parametrize("size", [1, 7, 100])
def test_batches_give_what_one_pass_gives_even_with_a_huge_mean(size: int) -> None:
    x = data(mean=1e4)
    x_hat = x + 0.1 * data(mean=0.0).flip(0)
    sums = ReconstructionSums(x.shape[1])
    for start in range(0, len(x), size):
        sums.add(x[start : start + size], x_hat[start : start + size])
    sums.add(x[:0], x_hat[:0])
    a, b = x.double().numpy(), x_hat.double().numpy()
    assert sums.tokens == len(x)
    assert sums.fvu == pytest.approx(((a - b) ** 2).sum() / ((a - np.mean(a, 0)) ** 2).sum(), rel=1e-9)
