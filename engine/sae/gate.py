"""The frequency gate: atoms that fire on too many tokens are shut out of the competition for a while.

The published code of arXiv 2604.14925 multiplies the scores of atoms whose running firing frequency exceeds 0.1 by zero,
goes on counting during evaluation, and does not save the count. Three of these are repaired here (``frequency``): a score
of zero can join the support when tau < 0, so a gated atom is masked with -inf; counting happens in training only; the
count is saved. ``published`` reproduces the original for comparison.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from engine.sae.batch import BatchStatistics
from kernels.codes import SparseCodes

GateKind = Literal["none", "frequency", "published"]


class FrequencyGate(nn.Module):
    """Running firing frequency of every atom and the mask it implies.

    The frequency is the plain mean, over all batches counted so far, of the share of tokens on which the atom had a positive
    activation. A gated atom does not fire, so its frequency falls until it is let in again.

    Attributes
    ----------
    frequency : float32 [M]
    batches : int64 scalar
        Batches counted so far.
    """

    frequency: Tensor
    batches: Tensor

    def __init__(self, n_atoms: int, kind: GateKind, above: float) -> None:
        super().__init__()
        self.kind, self.above = kind, above
        saved = kind == "frequency"
        self.register_buffer("frequency", torch.zeros(n_atoms), persistent=saved)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64), persistent=saved)

    @property
    def shut(self) -> Tensor | None:
        """Atoms shut out now, bool [M], or None when there is no gate."""
        return None if self.kind == "none" else self.frequency > self.above

    @torch.no_grad()
    def count(self, codes: SparseCodes, batch: BatchStatistics) -> None:
        """Add one batch, where this kind of gate counts: in training, and for ``published`` always."""
        if self.kind == "none" or len(codes) == 0 or not (self.training or self.kind == "published"):
            return
        fired = batch.total(torch.bincount(codes.col[codes.val > 0].long(), minlength=codes.n_atoms))
        self.batches += 1
        self.frequency += (fired / batch.tokens(len(codes)) - self.frequency) / self.batches
