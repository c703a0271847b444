"""The TopK SAE, with the auxiliary loss that revives dead latents.

Source: Gao et al., "Scaling and evaluating sparse autoencoders", arXiv 2406.04093: the model is equation 1 and section 2.3,
the auxiliary loss appendix A.2, the start (encoder = decoder transposed, b_pre = median, unit decoder directions) appendix
A.1. The geometric median is taken by Weiszfeld's iteration.

    z = W_encoder (u - b_pre) + b_encoder,   a = the K largest entries of z,   u_hat = a C + b_pre

As in equation 1 the code is the K largest pre-activations themselves; no ReLU follows, so every token has exactly K;
with ``relu`` one follows, as in SAELens, and a token has at most K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from engine.sae.auxiliary import AuxiliaryConfig, AuxiliarySAE
from kernels import topk_attention
from kernels.codes import SparseCodes


@dataclass(frozen=True, kw_only=True)
class TopKConfig(AuxiliaryConfig):
    """Config of a ``TopKSAE``."""

    architecture: ClassVar[str] = "topk"

    relu: bool = False
    """Drop winners that are not positive."""


class TopKSAE(AuxiliarySAE):
    """TopK SAE over M atoms in d dimensions: parameters as in ``LinearSAE``, atoms of length 1."""

    config: TopKConfig

    def _codes(self, u: Tensor) -> SparseCodes:
        codes = topk_attention(u - self.b_pre, self.w_encoder, self.config.k, self.b_encoder)
        return codes.kept(codes.val > 0) if self.config.relu else codes
