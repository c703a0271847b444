"""One SAE in training that every process holds whole: each computes its share of a batch's tokens."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from engine.sae import SAEOutput
from engine.sae.batch import BatchStatistics
from engine.training.parallel.shared_batch import SharedBatch
from engine.training.trainee import Trainee

# One bucket for each parameter. DDP lays its buckets out anew after the first step of a process, and where a number lies in a
# bucket decides in what order more than two processes add it: a training that was stopped would not go on bit for bit.
_BUCKET_MEGABYTES = 2.0**-20


@dataclass
class SharedTrainee(Trainee):
    """A ``Trainee`` whose gradients are those of the whole batch on every process, by ``DistributedDataParallel``."""

    _model: DistributedDataParallel | None = None

    def settle(self) -> None:
        self._model = DistributedDataParallel(self.sae, bucket_cap_mb=_BUCKET_MEGABYTES)

    def _part(self, x: Tensor) -> tuple[Tensor, BatchStatistics]:
        own = self.group.tokens(x)
        return own, SharedBatch.part(self.group, len(own), len(x))

    def _forward(self, x: Tensor, batch: BatchStatistics) -> SAEOutput:
        assert self._model is not None, "settle() comes before the first step"
        output: SAEOutput = self._model(x, batch)
        return output

    def _backward(self, loss: Tensor, batch: BatchStatistics) -> None:
        """DDP takes the plain mean over the processes: the loss is weighted so that each counts by its share of tokens."""
        (loss * (batch.share * self.group.size)).backward()
