"""A group of one process is the identity; several deal out what there is."""

from __future__ import annotations

import pytest
import torch

from engine.distributed import ALONE, Group, joined
from engine.errors import InputError


def test_alone_nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    x = torch.randn(5, 3)
    with joined() as group:
        assert group == ALONE
        assert group.sum(x) is x and group.tokens(x) is x and group.agreed(True) and group.gathered_objects(3) == [3]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("size", [2, 3])
def test_tokens_are_dealt_out_once(n: int, size: int) -> None:
    x = torch.arange(n)[:, None]
    parts = [Group(rank, size).tokens(x) for rank in range(size)]
    if n < size:
        assert all(part.equal(x) for part in parts)
    else:
        assert torch.cat(parts).equal(x)


def test_half_a_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="start it with torchrun"), joined():
        pass
