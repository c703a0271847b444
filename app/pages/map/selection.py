"""What a set of atoms has in common: its table, the words it shares, its exemplars together, and what a person takes away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import xlogy

from app.atlas_ui.exports import to_csv
from engine.atlas.top_exemplars import exemplar_pairs
from engine.derived import derived
from engine.words import find_name_words

if TYPE_CHECKING:
    from engine.atlas import Atlas

TABLE_COLUMNS = (
    "label",
    "status",
    "cluster_label",
    "firing_count",
    "frequency",
    "mean_activation",
    "max_activation",
    "label_entropy",
    "monosemanticity",
    "diversity",
    "top_label",
    "top_label_share",
)

G2_LEAST = 6.63
"""Words below it are chance: the 99th percentile of chi squared with one degree of freedom, which G2 follows then."""


def selection_table(atlas: Atlas, atoms: NDArray[np.int64]) -> pd.DataFrame:
    """One row per atom (column ``atom``), most frequent first, with the columns of ``TABLE_COLUMNS`` the atlas has."""
    table = atlas.atoms.iloc[atoms].copy()
    names = atlas.clusters["label"]
    table["cluster_label"] = names.reindex(table["cluster"]).fillna("").to_numpy()
    table.insert(0, "atom", table.index)
    kept = ["atom", *(name for name in TABLE_COLUMNS if name in table.columns)]
    return table[kept].sort_values("firing_count", ascending=False, kind="stable").reset_index(drop=True)


@derived
def words_of(atlas: Atlas) -> pd.DataFrame:
    """Words of every atom's label, candidates and heaviest class: columns ``atom`` and ``word``, each pair once."""
    atoms = atlas.atoms
    parts = zip(atoms["label"], atoms["label_candidates"], atoms["top_label"], strict=True)
    words = [
        {w.lower() for text in (label, *more, top) for w in find_name_words(str(text or ""))}
        for label, more, top in parts
    ]
    return pd.DataFrame(
        {"atom": np.repeat(np.arange(len(atoms)), [len(w) for w in words]), "word": [w for s in words for w in s]}
    )


def shared_words(atlas: Atlas, atoms: NDArray[np.int64], top: int = 12) -> pd.DataFrame:
    """Words more common among these atoms than among all atoms that fire.

    Ranked by the log-likelihood ratio G2 of word against selection (Dunning, "Accurate methods for the statistics of
    surprise and coincidence", Computational Linguistics 19, 1993), which trusts a ratio more the more atoms carry it.

    Returns
    -------
    columns ``word``, ``atoms`` (selected atoms that carry it), ``share`` (of the selected), ``share_all`` (of all atoms
    that fire), ``lift`` (their ratio), ``g2``; words of fewer than two selected atoms are left out unless only one is
    selected, and words whose G2 is below ``G2_LEAST``
    """
    words = words_of(atlas)
    alive = atlas.atoms["status"].to_numpy() != "dead"
    inside = np.zeros(atlas.n_atoms, dtype=bool)
    inside[atoms] = True
    inside &= alive
    n_in, n_all = int(inside.sum()), int(alive.sum())
    used = words[alive[words["atom"].to_numpy()]]
    everywhere = used["word"].value_counts()
    here = used.loc[inside[used["atom"].to_numpy()], "word"].value_counts()
    table = pd.DataFrame({"atoms": here, "all": everywhere.reindex(here.index)}).rename_axis("word").reset_index()
    if table.empty or not n_in:
        return pd.DataFrame(columns=["word", "atoms", "share", "share_all", "lift", "g2"])
    table["share"] = table["atoms"] / n_in
    table["share_all"] = table["all"] / n_all
    table["lift"] = table["share"] / table["share_all"]
    table["g2"] = _g2(table["atoms"].to_numpy(float), table["all"].to_numpy(float), n_in, n_all)
    table = table[(table["lift"] > 1) & (table["atoms"] >= min(2, n_in)) & (table["g2"] >= G2_LEAST)]
    return (
        table.sort_values(["g2", "word"], ascending=[False, True]).head(top).drop(columns="all").reset_index(drop=True)
    )


def _g2(k: NDArray[np.float64], total: NDArray[np.float64], n_in: int, n_all: int) -> NDArray[np.float64]:
    """Twice the log-likelihood ratio of a 2 x 2 table: word or not, selected or not."""
    cells = np.stack([k, n_in - k, total - k, n_all - n_in - (total - k)])
    row = np.stack([total, n_all - total, total, n_all - total])
    column = np.array([n_in, n_in, n_all - n_in, n_all - n_in], float)[:, None]
    expected = row * column / n_all
    return 2 * (xlogy(cells, cells) - xlogy(cells, np.where(expected > 0, expected, 1))).sum(axis=0)


def exemplar_union(atlas: Atlas, atoms: NDArray[np.int64], limit: int = 24) -> pd.DataFrame:
    """Items that excite these atoms most, together: items that are top exemplars of most of them first.

    Returns
    -------
    columns ``item``, ``atoms`` (how many of the selected atoms have it among their top exemplars), ``atom`` and ``rank`` of
    the selected atom that ranks it best
    """
    pairs = exemplar_pairs(atlas)
    inside = np.zeros(atlas.n_atoms, dtype=bool)
    inside[atoms] = True
    table = pairs[inside[pairs["atom"].to_numpy()]]
    best = table.sort_values(["rank", "atom"]).drop_duplicates("item").set_index("item")
    best["atoms"] = table.groupby("item").size()
    best = best.sort_values(["atoms", "rank"], ascending=[False, True], kind="stable").head(limit)
    return best.reset_index()[["item", "atoms", "atom", "rank"]]


def selection_csv(atlas: Atlas, atoms: NDArray[np.int64]) -> bytes:
    """The table of a selection with coordinates and label candidates: CSV, UTF-8."""
    table = selection_table(atlas, atoms)
    rows = atlas.atoms.loc[table["atom"]]
    table["x"], table["y"] = rows["x"].to_numpy(), rows["y"].to_numpy()
    table["label_candidates"] = [", ".join(names) for names in rows["label_candidates"]]
    return to_csv(table)
