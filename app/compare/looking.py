"""One picture through several SAEs: how many atoms each patch needs in each of them, how well it is rebuilt, which fire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.compare.matching import Matched, nearest
from app.compare.rivals import Rival
from app.retrieval.concepts import Seen, collect

if TYPE_CHECKING:
    from torch import Tensor

    from app.retrieval.concepts import Eyes
    from app.work import Job
    from engine.sae import SparseAutoencoder

STRONGEST = 6
"""Atoms of a picture that are shown."""


@dataclass(frozen=True)
class Sight:
    """What one SAE makes of one picture.

    Attributes
    ----------
    key : str
        The SAE's.
    support : int64 [P]
        Active atoms at every position.
    unexplained : float
        Squared error over the variance of the picture's own activations.
    seen : Seen
        What fires where.
    strongest : list of int
        Atoms with the largest share of the reconstruction, largest first.
    shares : list of float
        Share of the summed contribution lengths of all patches.
    """

    key: str
    support: NDArray[np.int64]
    unexplained: float
    seen: Seen
    strongest: list[int]
    shares: list[float]


@dataclass(frozen=True)
class Pair:
    """How the atoms of the first SAE are found in another, ``key``."""

    key: str
    matched: Matched


Saes = Callable[[Rival], "SparseAutoencoder"]


def match(job: Job[Pair], chosen: Sequence[Rival], load: Saes) -> None:
    """In the worker: match the first SAE's atoms with those of each other."""
    first = load(chosen[0]).directions()
    job.start("Matching atoms", len(chosen) - 1, "SAEs")
    for other in chosen[1:]:
        if job.cancelled():
            return
        job.emit(Pair(other.key, nearest(first, load(other).directions())))
        job.advance()


def look(
    job: Job[Sight], chosen: Sequence[Rival], load: Saes, eyes: Callable[[], Eyes], picture: Callable[[], Image.Image]
) -> None:
    """In the worker: run the picture through the model once, and its activations through every SAE."""
    models = eyes()
    job.finish()
    x = models.backbone.run(models.backbone.preprocess([picture()])).activations[0].cpu()
    for rival in chosen:
        if job.cancelled():
            return
        job.emit(see(rival.key, load(rival), x, models.atlas.prefix, models.atlas.grid))


def see(key: str, sae: SparseAutoencoder, x: Tensor, prefix: int, grid: tuple[int, int]) -> Sight:
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
    return Sight(
        key,
        np.diff(codes.crow.numpy()),
        float((x - rebuilt).square().sum() / variance),
        collect(codes.crow.numpy(), codes.col.numpy(), codes.val.numpy(), prefix, grid, "live"),
        atoms[:live].tolist(),
        shares[:live].tolist(),
    )
