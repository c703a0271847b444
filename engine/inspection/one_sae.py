"""The activations of one picture through one SAE: how many atoms each patch needs, how well it is rebuilt, which fire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.inspection.encoding import EncodedImage, collect

if TYPE_CHECKING:
    from torch import Tensor

    from engine.sae import SparseAutoencoder

STRONGEST = 6
"""Atoms of a picture that are shown."""


@dataclass(frozen=True)
class ThroughSAE:
    """What one SAE makes of one picture.

    Attributes
    ----------
    key : str
        The SAE's.
    support : int64 [P]
        Active atoms at every position.
    unexplained : float
        Squared error over the variance of the picture's own activations.
    encoded : EncodedImage
        What fires where.
    strongest : list of int
        Atoms with the largest share of the reconstruction, largest first.
    shares : list of float
        Share of the summed contribution lengths of all patches.
    """

    key: str
    support: NDArray[np.int64]
    unexplained: float
    encoded: EncodedImage
    strongest: list[int]
    shares: list[float]


def through_sae(key: str, sae: SparseAutoencoder, x: Tensor, prefix: int, grid: tuple[int, int]) -> ThroughSAE:
    """What ``sae`` makes of the activations ``x`` [P, d] of one picture."""
    import torch

    with torch.no_grad():
        codes = sae.encode(x)
        rebuilt = sae.decode(codes, sae.norm(x))
    variance = (x - x.mean(0)).square().sum().clamp_min(1e-12)
    lengths = sae.directions().norm(dim=1)
    patches = codes.row >= prefix
    weight = torch.zeros(sae.config.n_atoms).index_add_(
        0, codes.col.long()[patches], (codes.val.abs() * lengths[codes.col.long()])[patches]
    )
    shares, atoms = (weight / weight.sum().clamp_min(1e-12)).topk(min(STRONGEST, len(weight)))
    live = int((shares > 0).sum())
    return ThroughSAE(
        key,
        np.diff(codes.crow.numpy()),
        float((x - rebuilt).square().sum() / variance),
        collect(codes.crow.numpy(), codes.col.numpy(), codes.val.numpy(), prefix, grid, "live"),
        atoms[:live].tolist(),
        shares[:live].tolist(),
    )
