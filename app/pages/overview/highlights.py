"""Which atoms to show first: clear ones, each about something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.atlas.search import names as names_of_atoms
from engine.atlas.top_exemplars import top_items
from engine.derived import derived

if TYPE_CHECKING:
    from engine.atlas import Atlas

LEAST_ITEMS = 8
"""An atom that fires on fewer items has not shown what it means."""

LEAST_DIVERSITY = 0.05
"""Below it the top exemplars are nearly one picture."""

# What makes an atom clear, and whether more of it is better. A weak atom's exemplars are often noise, hence the last.
CLARITY = {"monosemanticity": True, "diversity": False, "label_entropy": False, "max_activation": True}


def clarity(atlas: Atlas) -> NDArray[np.float64]:
    """How clearly an atom means one thing, 0 to 1: the mean of its percentiles among the candidates in the columns of
    ``CLARITY``, as far as the atlas has them. NaN for atoms that are no candidates: not live, firing on fewer than
    ``LEAST_ITEMS`` items, or with exemplars that are nearly one picture. float64 [M]."""
    table = atlas.atoms
    enough = (
        (table["status"] == "live") & (table["item_count"] >= LEAST_ITEMS) & (table["diversity"] >= LEAST_DIVERSITY)
    )
    candidates = table[enough & table["monosemanticity"].notna()]
    ranks = [
        candidates[name].rank(pct=True, ascending=more)
        for name, more in CLARITY.items()
        if candidates[name].notna().any()
    ]
    scores = np.full(len(table), np.nan)
    if len(candidates):
        scores[candidates.index] = sum(rank.fillna(0).to_numpy() for rank in ranks) / len(ranks)
    return scores


@derived
def striking(atlas: Atlas, count: int = 8) -> NDArray[np.int64]:
    """At most ``count`` of the clearest atoms, clearest first, no two with the same label or first exemplars.

    Atoms of different clusters and classes come first; only when those run out may two share one.
    """
    table, items, scores = atlas.atoms, top_items(atlas), clarity(atlas)
    names_of = names_of_atoms(atlas)
    order = np.flatnonzero(np.isfinite(scores))
    order = order[np.argsort(-scores[order], kind="stable")]
    chosen: list[int] = []
    names: set[str] = set()
    groups: set[object] = set()
    shown: set[int] = set()
    for strict in (True, False):
        for atom in map(int, order):
            row, first = table.iloc[atom], set(items[atom].tolist()) - {-1}
            name = names_of[atom] or f"atom {atom}"
            mine = {("cluster", int(row["cluster"])), ("class", str(row["top_label"]))}
            if len(chosen) == count:
                break
            if name in names or shown & first or (strict and groups & mine):
                continue
            chosen.append(atom)
            names.add(name)
            groups |= mine
            shown |= first
    return np.array(chosen, dtype=np.int64)
