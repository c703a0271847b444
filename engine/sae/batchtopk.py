"""The BatchTopK SAE: K active atoms per token on average, shared out over the batch by size.

Source: Bussmann et al., "BatchTopK Sparse Autoencoders", arXiv 2412.06410 (the n K largest of a batch's n M
pre-activations; the threshold of inference is the mean over batches of the smallest positive winner).

    training      a = z where z is among the n K largest positive entries of the batch
    inference     a = z where z > threshold

Inference does not depend on the batch. The threshold is a saved buffer. The paper takes the mean over batches once training
is done; here it is a running mean over the last ten batches or so, so that every checkpoint can encode. (SAELens's rate of 0.01
looks back over a hundred batches, in which the scores still grow: after one pass over the demo's tokens a K of 16 became 39
active atoms in evaluation. One batch's threshold is the value at a rank of some ten thousand: ten of them are plenty.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from engine.sae.auxiliary import AuxiliaryConfig, AuxiliarySAE
from kernels import batch_topk_attention, threshold_attention
from kernels.codes import SparseCodes

_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class BatchTopKConfig(AuxiliaryConfig):
    """Config of a ``BatchTopKSAE``."""

    architecture: ClassVar[str] = "batchtopk"


class BatchTopKSAE(AuxiliarySAE):
    """BatchTopK SAE over M atoms in d dimensions: parameters as in ``LinearSAE``, atoms of length 1.

    Attributes
    ----------
    threshold : float32 scalar, saved
        What a score must exceed to be active in ``encode`` and in evaluation mode; 0 before training.
    """

    config: AuxiliaryConfig
    threshold: Tensor

    def __init__(self, config: AuxiliaryConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator)
        self.register_buffer("threshold", torch.zeros(()))

    def encode(self, x: Tensor) -> SparseCodes:
        """Codes by the threshold, in training mode too: a token's codes never depend on its neighbours here."""
        return self._above(self._normalise(x))

    def _codes(self, u: Tensor) -> SparseCodes:
        if not self.training:
            return self._above(u)
        codes = batch_topk_attention(u - self.b_pre, self.w_encoder, self.config.k, self.b_encoder)
        codes = codes.kept(codes.val > 0)
        if codes.nnz:
            smallest = codes.val.detach().amin()
            rate = torch.where(self.threshold == 0, 1.0, _RATE)
            self.threshold += rate * (smallest - self.threshold)
        return codes

    def _above(self, u: Tensor) -> SparseCodes:
        return threshold_attention(u - self.b_pre, self.w_encoder, self.threshold, self.b_encoder)

    def _stretch(self, factor: float) -> None:
        super()._stretch(factor)
        self.threshold.mul_(factor)
