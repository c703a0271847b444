"""Starting points."""

from __future__ import annotations

import math

import pytest
import torch

from engine.sae.initialisation import kaiming_uniform, random_rows, spread_rows


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crowd() -> torch.Tensor:
    """2,000 unit rows, nearly all of them the same background direction; the last 40 are all different."""
    rows = torch.randn(2000, 32, generator=generator())
    rows[:1960] = rows[0] + 0.05 * rows[:1960]
    return rows / rows.norm(dim=1, keepdim=True)


def test_kaiming_fills_its_interval() -> None:
    weights = kaiming_uniform(200, 300, fan_in=50, generator=generator())
    bound = math.sqrt(6 / 50)
    assert weights.abs().max() <= bound and weights.abs().max() > 0.99 * bound
    assert weights.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("draw", [random_rows, spread_rows])
def test_rows_are_drawn_once_while_there_are_enough(draw) -> None:
    chosen = draw(crowd(), 500, generator())
    assert len(chosen) == 500 and chosen.unique().numel() == 500
    assert torch.equal(chosen, draw(crowd(), 500, generator()))
    assert not torch.equal(chosen, draw(crowd(), 500, generator(1)))
    few = draw(crowd()[:30], 70, generator())
    assert len(few) == 70 and few.unique().numel() == 30


def test_spread_rows_do_not_sink_into_the_background() -> None:
    found = [(draw(crowd(), 64, generator()) >= 1960).sum().item() for draw in (random_rows, spread_rows)]
    assert found[0] <= 5 and found[1] >= 35


def test_spread_rows_of_identical_rows() -> None:
    chosen = spread_rows(torch.ones(100, 4) / 2, 20, generator())
    assert chosen.unique().numel() == 20
