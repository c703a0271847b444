"""Atoms in the plane: the two main axes of their directions, and UMAP."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 15
PARAMETERS = {"n_neighbors": NEIGHBOURS, "min_dist": 0.1, "metric": "cosine", "init": "pca"}


def pca_plane(directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coordinates [n, 2] of unit rows on their two main axes; signs fixed so that the same rows give the same plane."""
    if len(directions) < 2:
        return np.zeros((len(directions), 2), np.float32)
    unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    centred = (unit - unit.mean(axis=0)).astype(np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    plane = np.zeros((len(directions), 2), np.float32)
    plane[:, : axes.shape[1]] = centred @ axes
    return plane


def umap_plane(
    directions: NDArray[np.float32], index: NDArray[np.int32], cosine: NDArray[np.float32], seed: int, report: Any
) -> NDArray[np.float32]:
    """UMAP coordinates [n, 2] from exact neighbours (McInnes, Healy and Melville, arXiv 1802.03426)."""
    from umap import UMAP

    n = len(directions)
    unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    # umap counts a point among its own neighbours.
    k = min(NEIGHBOURS, index.shape[1] + 1)
    neighbours = np.concatenate([np.arange(n, dtype=np.int32)[:, None], index[:, : k - 1]], axis=1)
    distances = np.concatenate([np.zeros((n, 1), np.float32), 1.0 - cosine[:, : k - 1]], axis=1)
    reducer = UMAP(
        **{**PARAMETERS, "n_neighbors": k},
        precomputed_knn=(neighbours, np.maximum(distances, 0)),
        random_state=seed,
        verbose=True,
        tqdm_kwds={"file": report, "disable": False, "mininterval": 0.5},
    )
    return np.asarray(reducer.fit_transform(unit), np.float32)
