"""Clusters of the map of atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST_FOR_CLUSTERS = 40


def find_clusters(place: NDArray[np.float32]) -> NDArray[np.int32]:
    """Clusters of the map, -1 for none; numbered from the largest.

    HDBSCAN (Campello, Moulavi and Sander, 2013) on the plane, with the smallest cluster size, from a ladder, whose number
    of clusters comes nearest to sqrt(n) / 1.4, at least 5 and at most 80: about 45 for 4,000 atoms. Atoms of the thin regions
    between join the cluster of their nearest clustered atom when that is nearer than most clustered atoms' neighbours are.
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import NearestNeighbors

    n = len(place)
    if n < FEWEST_FOR_CLUSTERS:
        return np.full(n, -1, np.int32)
    wanted = np.clip(np.sqrt(n) / 1.4, 5, 80)
    best: tuple[float, NDArray[Any]] | None = None
    for share in (1 / 400, 1 / 200, 1 / 100, 1 / 50) if n < 20_000 else (1 / 400, 1 / 200):
        size = max(round(share * n), 5)
        found = HDBSCAN(min_cluster_size=size, min_samples=5, cluster_selection_method="leaf", copy=True).fit(place)
        labels = found.labels_
        distance = abs(np.log((labels.max() + 1.5) / wanted))
        if best is None or distance < best[0]:
            best = (distance, labels)
    assert best is not None
    labels = best[1].copy()
    inside = np.flatnonzero(labels >= 0)
    if len(inside) == 0:
        return np.full(n, -1, np.int32)
    finder = NearestNeighbors(n_neighbors=min(6, len(inside))).fit(place[inside])
    reach = np.quantile(finder.kneighbors(place[inside])[0][:, -1], 0.99)
    outside = np.flatnonzero(labels < 0)
    if len(outside):
        distances, nearest = finder.kneighbors(place[outside], n_neighbors=1)
        joins = distances[:, 0] <= 3 * reach
        labels[outside[joins]] = labels[inside[nearest[joins, 0]]]
    sizes = np.bincount(labels[labels >= 0])
    order = np.empty(len(sizes), np.int32)
    order[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.where(labels >= 0, order[labels], -1).astype(np.int32)
