"""The synthetic world has the rates, the correlations and the noise it says it has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.lab.world import World, WorldConfig, firing_rates


@given(st.floats(0.5, 20), st.floats(0, 2), st.integers(80, 300))
def test_rates_fall_as_a_power_and_sum_to_l0(l0: float, zipf: float, features: int) -> None:
    rates = firing_rates(WorldConfig(l0=l0, zipf=zipf, features=features))
    assert rates.sum().item() == pytest.approx(l0, rel=1e-6) and rates.max() <= 0.5
    free = rates[rates < 0.499]
    ranks = torch.arange(features - len(free) + 1, features + 1, dtype=torch.float64)
    torch.testing.assert_close(free * ranks**zipf, (free * ranks**zipf)[:1].expand_as(free), rtol=1e-6, atol=0)


def test_features_fire_at_their_rates_and_together_inside_groups() -> None:
    world = World(WorldConfig(features=40, groups=10, l0=6, correlation=0.8, zipf=0.3), seed=1)
    x, codes = world.sample(20000, torch.Generator().manual_seed(0))
    active = (codes.dense() > 0).double()
    # Five standard deviations of a binomial share.
    bound = 5 * (world.rates * (1 - world.rates) / 20000).sqrt()
    assert ((active.mean(0) - world.rates).abs() < bound).all()
    found = np.corrcoef(active.numpy().T)
    same = np.equal.outer(np.arange(40) % 10, np.arange(40) % 10) & ~np.eye(40, dtype=bool)
    apart = ~same & ~np.eye(40, dtype=bool)
    assert found[same].min() > 0.3 and abs(found[apart]).max() < 0.05
    noise = x - codes.dense() @ world.dictionary
    assert noise.square().sum(1).mean().sqrt().item() == pytest.approx(0.05, rel=0.02)
    assert codes.val.min() >= 0.5 and codes.val.max() <= 1.5
    torch.testing.assert_close(world.dictionary.norm(dim=1), torch.ones(40))


def test_the_same_seed_gives_the_same_world() -> None:
    one, two = World(WorldConfig(), 3), World(WorldConfig(), 3)
    assert torch.equal(one.dictionary, two.dictionary)
    for first, second in zip(*(w.sample(10, torch.Generator().manual_seed(1)) for w in (one, two)), strict=True):
        first, second = (part if isinstance(part, torch.Tensor) else part.dense() for part in (first, second))
        assert torch.equal(first, second)
    assert not torch.equal(one.dictionary, World(WorldConfig(), 4).dictionary)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"l0": 0}, "l0 must lie"),
        ({"l0": 65}, "a quarter of the features"),
        ({"correlation": 1}, "correlation must lie in 0 .. 0.99"),
        ({"groups": 0}, "groups must lie"),
        ({"noise": -1}, "noise must not be negative"),
        ({"zipf": 3}, "zipf must lie in 0 .. 2"),
        ({"d_model": 1}, "d_model must be at least 2"),
    ],
)
def test_bad_settings(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        WorldConfig(**wrong)
