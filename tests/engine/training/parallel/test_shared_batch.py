"""Shares of a batch add up to one, also where there are fewer tokens than processes."""

from __future__ import annotations

import pytest
import torch

from engine.distributed import ALONE, Group
from engine.training.parallel.shared_batch import SharedBatch


@pytest.mark.parametrize(("processes", "size"), [(2, 33), (3, 100), (3, 3)])
def test_shares_add_up_to_one(processes: int, size: int) -> None:
    x = torch.zeros(size, 4)
    parts = [len(Group(rank, processes).tokens(x)) for rank in range(processes)]
    batches = [SharedBatch.part(Group(rank, processes), own, size) for rank, own in enumerate(parts)]
    assert sum(batch.share for batch in batches) == pytest.approx(1.0, abs=1e-12)
    assert all(batch.tokens(own) == size for batch, own in zip(batches, parts, strict=True))


def test_a_batch_smaller_than_the_group_counts_once_for_each_process() -> None:
    batch = SharedBatch.part(Group(1, 3), 2, 2)
    assert batch.share == pytest.approx(1 / 3) and batch.tokens(2) == 6


def test_alone_it_agrees_with_the_plain_variance() -> None:
    x = torch.randn(50, 3, dtype=torch.float64) + 4
    variance = SharedBatch.part(ALONE, 50, 50).variance(x)
    torch.testing.assert_close(variance, (x - x.mean(0)).square().sum())
