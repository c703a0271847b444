"""Starting points: random ones as published, and ones taken from the data."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from engine.sae.base import TINY

Init = Literal["random", "data", "spread"]

_ROUNDS = 16


def kaiming_uniform(rows: int, columns: int, *, fan_in: int, generator: torch.Generator | None) -> Tensor:
    """Kaiming uniform [rows, columns] with gain sqrt(2): entries in +-sqrt(6 / fan_in). He et al., arXiv 1502.01852."""
    bound = math.sqrt(6 / fan_in)
    return torch.empty(rows, columns).uniform_(-bound, bound, generator=generator)


def draw_atoms(init: Init, u: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Unit directions [count, d] of tokens u [n, d]: drawn evenly (``data``) or far from each other (``spread``)."""
    unit = u / u.norm(dim=1, keepdim=True).clamp_min(TINY)
    return unit[(spread_rows if init == "spread" else random_rows)(unit, count, generator)]


def random_rows(unit: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices int64 [count] of rows drawn evenly; repeated only when there are fewer rows than wanted."""
    chosen = torch.randperm(len(unit), generator=generator)
    return chosen.repeat(-(-count // len(unit)))[:count].to(unit.device)


def spread_rows(unit: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices int64 [count] of rows that lie far from each other.

    Drawn in rounds, each row with a probability proportional to its cosine distance to the nearest row chosen in earlier
    rounds: k-means++ seeding in the batched form of Bahmani et al., "Scalable k-means++", arXiv 1203.6402. Tokens that come
    by the thousand, such as a plain background, then get a few atoms and not a share of the dictionary.

    Parameters
    ----------
    unit : [n, d]
        Rows of length 1.
    """
    if len(unit) <= count:
        return random_rows(unit, count, generator)
    distance = torch.ones(len(unit))
    free = torch.ones(len(unit))
    parts = []
    for size in torch.full((_ROUNDS,), count // _ROUNDS).add(torch.arange(_ROUNDS) < count % _ROUNDS).tolist():
        if size == 0:
            continue
        # The floor lets copies of chosen rows be drawn when nothing else is left.
        chosen = torch.multinomial(distance.clamp_min(1e-9) * free, size, generator=generator).to(unit.device)
        nearest = torch.cat([(part @ unit[chosen].T).amax(1) for part in unit.split(8192)]).cpu()
        distance = torch.minimum(distance, 1 - nearest)
        free[chosen.cpu()] = 0
        parts.append(chosen)
    return torch.cat(parts)


def geometric_median(points: Tensor, iterations: int = 100, tolerance: float = 1e-6) -> Tensor:
    """The point of least summed distance to ``points`` [n, d], by Weiszfeld's iteration; float32 [d].

    Source: Weiszfeld, "Sur le point pour lequel la somme des distances de n points donnes est minimum", 1937.
    """
    median = points.mean(0)
    for _ in range(iterations):
        weights = 1 / (points - median).norm(dim=1).clamp_min(TINY)
        moved = (weights[:, None] * points).sum(0) / weights.sum()
        done = (moved - median).norm() <= tolerance * median.norm().clamp_min(TINY)
        median = moved
        if done:
            break
    return median
