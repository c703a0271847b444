"""A pass that sees the whole batch needs nothing from elsewhere."""

from __future__ import annotations

import torch

from engine.sae.batch import WHOLE_BATCH


def test_a_whole_batch_is_its_own_statistics() -> None:
    x = torch.randn(5, 3)
    assert WHOLE_BATCH.share == 1.0 and WHOLE_BATCH.tokens(5) == 5 and WHOLE_BATCH.total(x) is x
    assert torch.equal(WHOLE_BATCH.variance(x), (x - x.mean(0)).square().sum())
