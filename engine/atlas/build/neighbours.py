"""Stage 4, the nearest atoms of every atom: by decoder direction, and by firing on the same sampled tokens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from engine.atlas.build.nearest import Nearest, nearest_directions, nearest_firing
from engine.atlas.build.token_sample import TokenSample
from engine.atlas.format.schema import NEIGHBOUR_KINDS
from engine.atlas.format.tables import save_array
from engine.atlas.grouping import place_in_group

if TYPE_CHECKING:
    from engine.progress import Progress
    from engine.sae import SparseAutoencoder


@dataclass(frozen=True)
class Neighbours:
    """Rows of ``neighbours.parquet``, sorted by atom, kind and rank.

    Attributes
    ----------
    atom, other : int64 [rows]
        An atom and its neighbour.
    kind : list of str
        Each of ``NEIGHBOUR_KINDS``.
    rank : int16 [rows]
        Place within the atom and kind, from 0.
    similarity : float32 [rows]
        Cosine of the decoder directions, or of the binary firing vectors.
    """

    atom: NDArray[np.int64]
    kind: list[str]
    rank: NDArray[np.int16]
    other: NDArray[np.int64]
    similarity: NDArray[np.float32]


def find_neighbours(
    sae: SparseAutoencoder,
    live: NDArray[np.int64],
    sample: TokenSample,
    count: int,
    nearest_for_map: int,
    folder: Path,
    progress: Progress,
) -> Neighbours:
    """The ``count`` neighbours of each kind of every atom that fires.

    The directions of the ``live`` atoms and at least ``nearest_for_map`` exact neighbours of each stay in ``folder``, where
    the layout process reads them: ``directions.npy``, ``knn_index.npy`` and ``knn_cosine.npy``, the last one last.
    """
    if not (folder / "knn_cosine.npy").is_file():
        folder.mkdir(exist_ok=True)
        directions = sae.directions()
        directions = directions[torch.from_numpy(live).to(directions.device)]
        nearest = nearest_directions(directions, max(count, nearest_for_map), progress)
        save_array(folder / "directions.npy", directions.float().cpu().numpy())
        save_array(folder / "knn_index.npy", nearest.row)
        save_array(folder / "knn_cosine.npy.partial.npy", nearest.cosine)
        os.replace(folder / "knn_cosine.npy.partial.npy", folder / "knn_cosine.npy")
    row, cosine = np.load(folder / "knn_index.npy"), np.load(folder / "knn_cosine.npy")
    decoder = Nearest(row, cosine, np.full(len(row), row.shape[1], np.int32))
    firing = nearest_firing(sample.crow, sample.atoms, sae.config.n_atoms, count)
    return merge(live, decoder, firing, count)


def merge(live: NDArray[np.int64], decoder: Nearest, firing: Nearest, count: int) -> Neighbours:
    """The rows of both kinds.

    Parameters
    ----------
    live : int64 [n]
        Atoms that fire; row i of ``decoder`` belongs to ``live[i]``, and the numbers in it count the same rows.
    decoder, firing : Nearest
        What ``nearest_directions`` and ``nearest_firing`` gave.
    count : int
        Neighbours of each kind that are kept.
    """
    row, cosine, filled = decoder.row[:, :count], decoder.cosine[:, :count], firing.filled
    atom = np.concatenate([np.repeat(live, row.shape[1]), np.nonzero(filled)[0]])
    kind = np.repeat([0, 1], [row.size, int(filled.sum())])
    other = np.concatenate([live[row.reshape(-1)], firing.row[filled]])
    similarity = np.concatenate([cosine.reshape(-1), firing.cosine[filled]])
    order = np.lexsort((other, -similarity, kind, atom))
    atom, kind, other, similarity = atom[order], kind[order], other[order], similarity[order]
    return Neighbours(
        atom=atom,
        kind=np.array(NEIGHBOUR_KINDS)[kind].tolist(),
        rank=place_in_group(atom * 2 + kind).astype(np.int16),
        other=other,
        similarity=similarity,
    )
