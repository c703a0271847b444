"""A synthetic world in superposition: more features than dimensions, few of them active at a time, all of them known.

    x = a D + noise,    a sparse [N, G],    D unit rows [G, d],    G > d

The setting is that of Elhage et al., "Toy Models of Superposition", arXiv 2209.10652, and of Sharkey, Braun and Millidge,
"Taking features out of superposition with sparse autoencoders", 2022, with two things real activations have: features that
fire together, and features that fire far more often than others.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from engine.errors import InputError
from kernels import sparse_decode
from kernels.codes import SparseCodes

_MOST_OFTEN = 0.5


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """What a world is drawn from. The same config and seed give the same world."""

    d_model: int = 64
    """d, the dimensions."""

    features: int = 256
    """G, the features."""

    l0: float = 5.0
    """Mean features active at a time."""

    zipf: float = 0.5
    """Imbalance: the r-th most frequent feature fires in proportion to r^-zipf; 0 makes all equally frequent."""

    correlation: float = 0.3
    """Correlation of features of one group in the Gaussian copula: 0 fires all independently, near 1 together."""

    groups: int = 32
    """Groups of features that are correlated; features of different groups are independent."""

    noise: float = 0.05
    """Expected length of the Gaussian noise on x, where an active feature has a mean length of 1."""

    def __post_init__(self) -> None:
        checks = {
            "d_model must be at least 2 and features at least 2": self.d_model >= 2 and self.features >= 2,
            "l0 must lie between 0 and a quarter of the features": 0 < self.l0 <= self.features / 4,
            "zipf must lie in 0 .. 2": 0 <= self.zipf <= 2,
            "correlation must lie in 0 .. 0.99": 0 <= self.correlation <= 0.99,
            "groups must lie in 1 .. features": 1 <= self.groups <= self.features,
            "noise must not be negative": self.noise >= 0 and math.isfinite(self.noise),
        }
        for sentence, holds in checks.items():
            if not holds:
                raise InputError(f"synthetic world: {sentence}.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


class World:
    """One draw of a dictionary and of how often its features fire.

    Attributes
    ----------
    dictionary : float32 [G, d]
        The true directions, unit rows, drawn evenly from the sphere.
    rates : float64 [G]
        Probability that a feature is active; their sum is ``config.l0``.
    """

    def __init__(self, config: WorldConfig, seed: int = 0) -> None:
        self.config = config
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(config.features, config.d_model, generator=generator)
        self.dictionary = directions / directions.norm(dim=1, keepdim=True)
        # Features are in random order, so that a group holds frequent and rare ones.
        order = torch.randperm(config.features, generator=generator)
        self.rates = firing_rates(config)[order]
        self._thresholds = math.sqrt(2) * torch.erfinv(1 - 2 * self.rates)
        self._group = torch.arange(config.features) % config.groups

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, SparseCodes]:
        """``count`` activations x, float32 [count, d], and their true codes.

        A feature fires when its latent normal variable exceeds its threshold; variables of one group share a factor. The
        amplitude of an active feature is uniform in [0.5, 1.5].
        """
        config = self.config
        shared = torch.randn(count, config.groups, generator=generator)[:, self._group]
        own = torch.randn(count, config.features, generator=generator)
        latent = math.sqrt(config.correlation) * shared + math.sqrt(1 - config.correlation) * own
        active = latent > self._thresholds
        crow = torch.cat([torch.zeros(1, dtype=torch.int64), active.sum(1).cumsum(0)])
        col = active.nonzero()[:, 1]
        val = torch.rand(len(col), generator=generator) + 0.5
        codes = SparseCodes(crow, col.int(), val, config.features)
        noise = torch.randn(count, config.d_model, generator=generator) * (config.noise / math.sqrt(config.d_model))
        return sparse_decode(codes, self.dictionary) + noise, codes


def firing_rates(config: WorldConfig) -> Tensor:
    """Rates, float64 [G], most frequent first: proportional to r^-zipf, at most 0.5, with sum ``l0``."""
    weights = torch.arange(1, config.features + 1, dtype=torch.float64) ** -config.zipf
    low, high = 0.0, config.features * float(1 / weights.min())
    for _ in range(100):  # the sum grows with the factor, so bisect
        factor = (low + high) / 2
        if (factor * weights).clamp_max(_MOST_OFTEN).sum() < config.l0:
            low = factor
        else:
            high = factor
    return (high * weights).clamp_max(_MOST_OFTEN)
