"""Which atoms of one dictionary another one has too: nearest decoder directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

SAME = 0.7
"""Atoms whose directions have at least this cosine count as the same (Paulo and Belrose, arXiv 2501.16615)."""

ROWS_AT_ONCE = 4096
"""Atoms compared with all others by one product."""


@dataclass(frozen=True)
class NearestAtoms:
    """For every atom of one SAE, the most similar atom of another.

    Attributes
    ----------
    other : int64 [M]
        Its nearest atom; -1 where it has no direction.
    cosine : float32 [M]
        How near; 0 where it has no direction.
    """

    other: NDArray[np.int64]
    cosine: NDArray[np.float32]

    @property
    def share(self) -> float:
        """Share of atoms the other SAE has too."""
        return float((self.cosine >= SAME).mean()) if len(self.cosine) else 0.0


def nearest(first: Tensor, second: Tensor) -> NearestAtoms:
    """For every row of ``first`` [M1, d], the row of ``second`` [M2, d] with the largest cosine.

    Several atoms may share a nearest one: unlike the one-to-one matching of ``engine.metrics``, this asks whether an atom is
    there at all, takes a second for 16,384 atoms, and never holds more than a block of the cosines.
    """
    import torch

    def unit(rows: Tensor) -> Tensor:
        lengths = rows.norm(dim=1, keepdim=True)
        return torch.where(lengths > 0, rows / lengths.clamp_min(1e-12), torch.zeros_like(rows))

    one, two = unit(first.float()), unit(second.float())
    found = [(block @ two.T).max(dim=1) for block in one.split(ROWS_AT_ONCE)]
    cosine = torch.cat([each.values for each in found]) if found else torch.zeros(0)
    other = torch.cat([each.indices for each in found]) if found else torch.zeros(0, dtype=torch.int64)
    empty = one.norm(dim=1) == 0
    return NearestAtoms(other.masked_fill(empty, -1).numpy(), cosine.masked_fill(empty, 0).numpy())
