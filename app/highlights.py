"""Which atoms to show first: clear ones, each about something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.library import derived
from app.search import top_items

if TYPE_CHECKING:
    from engine.atlas import Atlas

LEAST_ITEMS = 8
"""An atom that fires on fewer items has not shown what it means."""

LEAST_DIVERSITY = 0.05
"""Below it the top exemplars are nearly one picture."""


def striking(atlas: Atlas, count: int = 8) -> NDArray[np.int64]:
    """The most monosemantic live atoms, at most ``count``, no two with the same label, cluster or first exemplars.

    Only atoms that fire on at least ``LEAST_ITEMS`` items and whose exemplars differ from each other are asked.
    """

    def choose() -> NDArray[np.int64]:
        table = atlas.atoms
        clear = (
            (table["status"] == "live")
            & (table["item_count"] >= LEAST_ITEMS)
            & (table["diversity"] >= LEAST_DIVERSITY)
            & table["monosemanticity"].notna()
        ).to_numpy()
        order = np.flatnonzero(clear)
        order = order[np.argsort(-table["monosemanticity"].to_numpy(float)[order], kind="stable")]
        items = top_items(atlas)
        chosen: list[int] = []
        names: set[str] = set()
        clusters: set[int] = set()
        shown: set[int] = set()
        for distinct_clusters in (True, False):  # a small atlas has few clusters: then names and pictures must do
            for atom in map(int, order):
                row = table.iloc[atom]
                name, cluster, first = (
                    str(row["label"] or row["top_label"]),
                    int(row["cluster"]),
                    set(items[atom].tolist()),
                )
                if len(chosen) == count:
                    break
                if name in names or shown & first or (distinct_clusters and cluster in clusters):
                    continue
                chosen.append(atom)
                names.add(name)
                clusters.add(cluster)
                shown |= first - {-1}
        return np.array(chosen, dtype=np.int64)

    return derived.get((atlas.key, "striking", count), choose)
