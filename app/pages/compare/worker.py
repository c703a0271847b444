"""What the worker does for the Compare page: match the atoms of several SAEs, run one picture through all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from app.pages.compare.saes import ComparedSAE
from engine.inspection.one_sae import ThroughSAE, through_sae
from engine.metrics.matching import NearestAtoms, nearest

if TYPE_CHECKING:
    from app.work import Job
    from engine.inspection.encoding import Encoder
    from engine.sae import SparseAutoencoder


@dataclass(frozen=True)
class SAEOverlap:
    """How the atoms of the first SAE are found in another, ``key``."""

    key: str
    matched: NearestAtoms


Saes = Callable[[ComparedSAE], "SparseAutoencoder"]


def match_atoms(job: Job[SAEOverlap], chosen: Sequence[ComparedSAE], load: Saes) -> None:
    """In the worker: match the first SAE's atoms with those of each other."""
    first = load(chosen[0]).directions()
    job.start("Matching atoms", len(chosen) - 1, "SAEs")
    for other in chosen[1:]:
        if job.cancelled():
            return
        job.emit(SAEOverlap(other.key, nearest(first, load(other).directions())))
        job.advance()


def encode_picture(
    job: Job[ThroughSAE],
    chosen: Sequence[ComparedSAE],
    load: Saes,
    encoder: Callable[[], Encoder],
    picture: Callable[[], Image.Image],
) -> None:
    """In the worker: run the picture through the model once, and its activations through every SAE."""
    models = encoder()
    job.finish()
    x = models.backbone.run(models.backbone.preprocess([picture()])).activations[0].cpu()
    for sae in chosen:
        if job.cancelled():
            return
        job.emit(through_sae(sae.key, load(sae), x, models.atlas.prefix, models.atlas.grid))
