"""What pictures share in the atlas's dictionary: the atoms that fire in several of them, and where.

Codes of the atlas's sampled items are taken from the atlas; every other picture is encoded live by the atlas's own backbone
and SAE. Both give the same kind of record, which says where it came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import AtomscopeError

if TYPE_CHECKING:
    from engine.atlas import Atlas
    from engine.backbones import Backbone
    from engine.progress import Progress
    from engine.sae import SparseAutoencoder

COMPARED = 5
"""Candidates that are compared: the first of the final order."""


@dataclass(frozen=True)
class Seen:
    """The atoms that fire on the patches of one picture.

    Attributes
    ----------
    atoms : int32 [A]
        Ascending.
    peaks : float32 [A]
        Largest activation of each on any patch.
    heat : float16 [A, rows, columns]
        Activation on every patch.
    source : str
        "atlas" (codes the atlas holds) or "live".
    """

    atoms: NDArray[np.int32]
    peaks: NDArray[np.float32]
    heat: NDArray[np.float16]
    source: Literal["atlas", "live"]

    def of(self, atom: int) -> tuple[float, NDArray[np.float32] | None]:
        """Largest activation and heat map of an atom; (0, None) when it does not fire."""
        place = int(np.searchsorted(self.atoms, atom))
        if place >= len(self.atoms) or self.atoms[place] != atom:
            return 0.0, None
        return float(self.peaks[place]), self.heat[place].astype(np.float32)


class Eyes:
    """Backbone and SAE of one atlas. ``see`` may be called from one thread at a time."""

    def __init__(self, atlas: Atlas, backbone: Backbone, sae: SparseAutoencoder) -> None:
        self.atlas, self.backbone, self.sae = atlas, backbone, sae

    @classmethod
    def of(cls, atlas: Atlas, progress: Progress) -> Eyes:
        """Load both.

        Raises
        ------
        AtomscopeError
            If the atlas is about texts, or its model cannot be had.
        """
        from engine.backbones import load_backbone

        if not atlas.grid[0]:
            raise AtomscopeError(f"{atlas.title!r} is about texts: it knows no concepts of pictures.")
        spec = atlas.meta["backbone"]
        backbone = load_backbone(
            str(spec["name"]), int(spec["layer"]), str(spec["site"]), str(spec["tokens"]), progress=progress
        )
        return cls(atlas, backbone, atlas.sae())

    def see(self, image: Image.Image) -> Seen:
        """The concepts in one picture, encoded now."""
        import torch

        with torch.no_grad():
            run = self.backbone.run(self.backbone.preprocess([image]))
            codes = self.sae.encode(run.activations[0].cpu())
        return collect(
            codes.crow.numpy(), codes.col.numpy(), codes.val.numpy(), self.atlas.prefix, self.atlas.grid, "live"
        )


def sampled(atlas: Atlas, item: int) -> Seen | None:
    """The concepts of an atlas item whose codes the atlas holds, else None."""
    if atlas.sampled_row(item) is None:
        return None
    tokens = [atlas.token_codes(item, position) for position in range(atlas.n_positions)]
    known = [token for token in tokens if token is not None]
    crow = np.concatenate([[0], np.cumsum([len(atoms) for atoms, _ in known])])
    col = np.concatenate([atoms for atoms, _ in known])
    val = np.concatenate([values for _, values in known])
    return collect(crow, col, val, atlas.prefix, atlas.grid, "atlas")


def collect(
    crow: NDArray[np.integer],
    col: NDArray[np.integer],
    val: NDArray[np.floating],
    prefix: int,
    grid: tuple[int, int],
    source: Literal["atlas", "live"],
) -> Seen:
    """CSR codes of one item's tokens (CLS and registers first) -> what fires on its patches."""
    rows, columns = grid
    position = np.repeat(np.arange(len(crow) - 1), np.diff(crow)) - prefix
    inside = (position >= 0) & (position < rows * columns)
    atoms, place = np.unique(col[inside], return_inverse=True)
    heat = np.zeros((len(atoms), rows * columns), np.float16)
    heat[place, position[inside]] = val[inside]
    peaks = heat.max(axis=1).astype(np.float32) if len(atoms) else np.zeros(0, np.float32)
    return Seen(atoms.astype(np.int32), peaks, heat.reshape(len(atoms), rows, columns), source)


def atlas_item(atlas: Atlas, corpus_hash: str, row: int) -> int | None:
    """The atlas's item that is row ``row`` of this corpus, None when the atlas was made from another corpus."""
    if atlas.meta["corpus"].get("hash") != corpus_hash or "corpus_index" not in atlas.items:
        return None
    found = (atlas.items["corpus_index"] == row).to_numpy().nonzero()[0]
    return int(found[0]) if len(found) else None


@dataclass(frozen=True)
class Shared:
    """One atom several pictures share: ``strength`` ranks it, ``count`` says in how many candidates it fires."""

    atom: int
    strength: float
    count: int


def shared(atlas: Atlas, query: Seen | None, candidates: Sequence[Seen], most: int = 8) -> list[Shared]:
    """The atoms query picture and candidates share, or, without a query picture, those the candidates share.

    An atom's strength in a picture is its peak there over its largest peak anywhere; two pictures share the smaller of
    the two. What fires almost everywhere says little: the sum is weighted by the log of how rare the atom is among items
    (inverse document frequency), and dense atoms are left out.

    Parameters
    ----------
    most : atoms returned, strongest first
    """
    table = atlas.atoms
    largest = table["max_activation"].to_numpy(float)
    weight = np.log(atlas.n_items / np.maximum(table["item_count"].to_numpy(float), 1))
    weight[(table["status"] == "dense").to_numpy()] = 0

    def strengths(seen: Seen) -> NDArray[np.float64]:
        dense = np.zeros(atlas.n_atoms)
        dense[seen.atoms] = seen.peaks / np.maximum(largest[seen.atoms], 1e-9)
        return dense

    if not candidates:
        return []
    each = np.stack([strengths(seen) for seen in candidates])
    common = np.minimum(each, strengths(query)) if query is not None else each
    count = (common > 0).sum(axis=0)
    total = common.sum(axis=0) * weight
    total[count < (1 if query is not None else min(2, len(candidates)))] = 0
    best = np.argsort(-total, kind="stable")[:most]
    return [Shared(int(a), float(total[a]), int(count[a])) for a in best if total[a] > 0 and math.isfinite(total[a])]


@dataclass(frozen=True)
class Looked:
    """One picture that was looked at: "query" or a corpus row; what was seen, or why it could not be."""

    who: int | Literal["query"]
    seen: Seen | None
    problem: str = ""


def look(
    eyes: Callable[[], Eyes],
    atlas: Atlas,
    who: int | Literal["query"],
    known: int | None,
    load: Callable[[], Image.Image],
) -> Looked:
    """Look at one picture.

    Parameters
    ----------
    eyes : gives the models; only called when the atlas does not hold the picture's codes
    known : the atlas's own item of this picture, None if there is none
    load : decodes the picture
    """
    try:
        held = sampled(atlas, known) if known is not None else None
        return Looked(who, held if held is not None else eyes().see(load()))
    except AtomscopeError as error:
        return Looked(who, None, str(error))
