"""One picture through the model and the SAE of an atlas: which atoms fire on its patches, and where.

Codes of the atlas's sampled items are taken from the atlas; every other picture is encoded live. Both give the same kind of
record, which says where it came from.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class EncodedImage:
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


class Encoder:
    """Backbone and SAE of one atlas. ``encode`` may be called from one thread at a time."""

    def __init__(self, atlas: Atlas, backbone: Backbone, sae: SparseAutoencoder) -> None:
        self.atlas, self.backbone, self.sae = atlas, backbone, sae

    @classmethod
    def of(cls, atlas: Atlas, progress: Progress) -> Encoder:
        """Load both.

        Raises
        ------
        AtomscopeError
            If the atlas is about texts, or its model cannot be had.
        """
        from engine.backbones import Backbone, load_backbone_of

        if not atlas.grid[0]:
            raise AtomscopeError(f"{atlas.title!r} is about texts: it knows no concepts of pictures.")
        backbone = load_backbone_of(atlas.meta["backbone"], atlas.path, progress=progress)
        assert isinstance(backbone, Backbone)
        return cls(atlas, backbone, atlas.sae())

    def encode(self, image: Image.Image) -> EncodedImage:
        """The concepts in one picture, encoded now."""
        import torch

        with torch.no_grad():
            run = self.backbone.run(self.backbone.preprocess([image]))
            codes = self.sae.encode(run.activations[0].cpu())
        return collect(
            codes.crow.numpy(), codes.col.numpy(), codes.val.numpy(), self.atlas.prefix, self.atlas.grid, "live"
        )


def sampled(atlas: Atlas, item: int) -> EncodedImage | None:
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
) -> EncodedImage:
    """CSR codes of one item's tokens (CLS and registers first) -> what fires on its patches."""
    rows, columns = grid
    position = np.repeat(np.arange(len(crow) - 1), np.diff(crow)) - prefix
    inside = (position >= 0) & (position < rows * columns)
    atoms, place = np.unique(col[inside], return_inverse=True)
    heat = np.zeros((len(atoms), rows * columns), np.float16)
    heat[place, position[inside]] = val[inside]
    peaks = heat.max(axis=1).astype(np.float32) if len(atoms) else np.zeros(0, np.float32)
    return EncodedImage(atoms.astype(np.int32), peaks, heat.reshape(len(atoms), rows, columns), source)
