"""A batch whose tokens are shared out over processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.distributed import ALONE, Group
from engine.sae.batch import BatchStatistics


@dataclass(frozen=True)
class SharedBatch(BatchStatistics):
    """What a process must know of a batch, some of whose tokens it has. Every process asks for the same sums in turn.

    Attributes
    ----------
    group : Group
        The processes that have the batch together.
    size : int
        Tokens in the whole batch.
    """

    group: Group = ALONE
    size: int = 0

    @classmethod
    def part(cls, group: Group, own: int, size: int) -> SharedBatch:
        """For a process with ``own`` of the ``size`` tokens of a batch.

        Of a batch with fewer tokens than processes every one has all: it counts as that many batches.
        """
        size = size if size >= group.size else size * group.size
        return cls(own / size, group, size)

    def tokens(self, own: int) -> int:
        return self.size

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over the processes; carries no gradient where there are several."""
        return self.group.sum(tensor)

    def variance(self, u: Tensor) -> Tensor:
        counted = self.total(torch.cat([u.detach().sum(0), u.new_tensor([len(u)])]))
        return self.total((u.detach() - counted[:-1] / counted[-1]).square().sum())
