"""The sparsemax SAE: cross-attention from a token to a learned set of concepts, with sparsemax for softmax.

Source: "Improving Sparse Autoencoder with Dynamic Attention", arXiv 2604.14925, and its published code, which differ. The
number of active atoms is not set: the threshold of sparsemax finds it for every token.

    values = "score" (the published code)       values = "probability" (the paper)
    q = (u / ||u||) W_key^T                      q = u W_key
    z = scale q C^T,  scale = 1                  z = scale q C^T,  scale = 1 / sqrt(d)
    S = support of sparsemax(z)                  the same
    a = z on S                                   a = sparsemax(z) on S
    u_hat = ||u|| (a C) W_value                  u_hat = (a C) W_value

C W_key^T and C W_value are never formed: by associativity the d x d matrices act on the N tokens, and one table, C, serves
scoring and decoding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from engine.sae.base import TINY, option
from engine.sae.batch import BatchStatistics
from engine.sae.cross_attention import CrossAttentionConfig, CrossAttentionSAE
from engine.sae.gate import FrequencyGate, GateKind
from kernels import linear, sparse_attention_with_threshold
from kernels.codes import SparseCodes


@dataclass(frozen=True, kw_only=True)
class SparsemaxConfig(CrossAttentionConfig):
    """Config of a ``SparsemaxSAE``."""

    architecture: ClassVar[str] = "sparsemax"

    values: Literal["score", "probability"] = option("score", "probability", default="score")
    """What an active atom is worth: its score (published code) or its sparsemax probability (paper)."""

    scale: float | None = None
    """Factor on the scores, the hidden knob of sparsity: larger means fewer active atoms. None takes the source's value,
    1 for ``score`` and 1 / sqrt(d) for ``probability``."""

    learn_scale: bool = False
    """Train the scale (its logarithm), starting at ``scale``."""

    gate: GateKind = option("none", "frequency", "published", default="none")
    """Frequency gate, see ``engine.sae.gate``."""

    gate_above: float = 0.1
    """The gate shuts atoms that fire on more than this share of tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.scale is None or (math.isfinite(self.scale) and self.scale > 0), "scale must be positive")
        self.require(0 < self.gate_above <= 1, "gate_above must lie in (0, 1]")

    @property
    def start_scale(self) -> float:
        """The scale that training starts from."""
        if self.scale is not None:
            return self.scale
        return 1.0 if self.values == "score" else 1 / math.sqrt(self.d_model)


class SparsemaxSAE(CrossAttentionSAE):
    """Sparsemax SAE over M atoms in d dimensions.

    Parameters held: ``atoms`` [M, d] (C), ``w_key`` [d, d], ``w_value`` [d, d], and ``log_scale`` (scalar) when the scale is
    learned. No biases; the atoms are not normalised; no sparsity penalty.
    """

    config: SparsemaxConfig

    def __init__(self, config: SparsemaxConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator)
        if config.learn_scale:
            self.log_scale = nn.Parameter(torch.tensor(math.log(config.start_scale)))
        self.gate = FrequencyGate(config.n_atoms, config.gate, config.gate_above)

    @property
    def scale(self) -> float:
        """Factor on the scores as it stands now."""
        return self.log_scale.exp().item() if self.config.learn_scale else self.config.start_scale

    def encode_with_threshold(self, x: Tensor) -> tuple[SparseCodes, Tensor]:
        """Codes and tau [N], the score an atom must exceed to be active."""
        return self._attend(self._normalise(x))

    def scores(self, x: Tensor) -> Tensor:
        queries = self._queries(self._normalise(x))
        scores = queries @ self._gated_atoms().T
        return scores if self._masked is None else scores.masked_fill(self._masked, -math.inf)

    # -- the pieces ---------------------------------------------------------------------------------------------------

    @property
    def _masked(self) -> Tensor | None:
        return self.gate.shut if self.config.gate == "frequency" else None

    def _gated_atoms(self) -> Tensor:
        """The atoms to score with. A zero row gives the zero score that the published gate sets."""
        if self.config.gate != "published":
            return self.atoms
        return self.atoms.masked_fill(self.gate.shut[:, None], 0.0)  # type: ignore[index]

    def _queries(self, u: Tensor) -> Tensor:
        """Scaled queries [N, d]: ``scores = queries @ atoms.T``."""
        queries = super()._queries(u) if self.config.values == "score" else linear(u, self.w_key.T)
        return queries * (self.log_scale.exp() if self.config.learn_scale else self.config.start_scale)

    def _attend(self, u: Tensor) -> tuple[SparseCodes, Tensor]:
        return sparse_attention_with_threshold(
            self._queries(u), self._gated_atoms(), values=self.config.values, masked=self._masked
        )

    def _codes(self, u: Tensor) -> SparseCodes:
        return self._attend(u)[0]

    def _count(self, codes: SparseCodes, batch: BatchStatistics) -> None:
        super()._count(codes, batch)
        self.gate.count(codes, batch)

    def _norm(self, u: Tensor) -> Tensor | None:
        return super()._norm(u) if self.config.values == "score" else None

    def _decode(self, codes: SparseCodes, norm: Tensor | None) -> Tensor:
        return super()._decode(codes, norm) if self.config.values == "score" else self._mixed(codes)

    def _start_sparse(self, u: Tensor) -> None:
        if self.config.values == "probability":
            # Queries of unit length for a token of average length, so that ``scale`` means the same in both modes.
            self.w_key.div_(u.norm(dim=1).mean().clamp_min(TINY))
