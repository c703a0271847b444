"""What ``atoms.parquet`` and ``labels.parquet`` say of each atom, worked out from the accumulators of the pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.atlas.build.accumulate import LABEL_CELLS, Accumulators
from engine.atlas.build.grouping import place_in_group
from engine.atlas.format.schema import LABELS_KEPT
from engine.atlas.format.writer import Exemplars, statuses
from engine.metrics import label_entropy, monosemanticity, top_label


def label_ids(labels: list[str], n_atoms: int) -> tuple[NDArray[np.int32], list[str]]:
    """Number the labels of the items.

    Returns
    -------
    int32 [n_items]
        Index of each item's label, -1 for none.
    list of str
        The labels, most items first (ties alphabetical). When a table of all of them would outgrow ``LABEL_CELLS``, the
        rarest are not counted.
    """
    names, counts = np.unique([label for label in labels if label], return_counts=True)
    order = np.lexsort((names, -counts))[: max(LABEL_CELLS // n_atoms, 1)]
    kept = [str(names[i]) for i in order]
    index = {name: number for number, name in enumerate(kept)}
    return np.array([index.get(label, -1) for label in labels], np.int32), kept


def atom_columns(
    acc: Accumulators, exemplars: Exemplars, labels: list[str], embeddings: NDArray[np.float32], n_tokens: int
) -> dict[str, Any]:
    """The measured columns of ``atoms.parquet`` (all but the place on the map and the text labels).

    Parameters
    ----------
    labels : list of str
        Label of every item.
    embeddings : float32 [n_items, e]
        Unit rows.
    """
    n_atoms = len(acc.firing)
    dead = acc.firing == 0
    with np.errstate(invalid="ignore"):
        mean = acc.total / acc.firing
    entropy = np.full(n_atoms, np.nan)
    share = np.full(n_atoms, np.nan)
    diversity = np.full(n_atoms, np.nan)
    name = [""] * n_atoms
    top = np.flatnonzero(exemplars.kind == 0)
    bounds = np.searchsorted(exemplars.atom[top], np.arange(n_atoms + 1))
    for atom in np.flatnonzero(~dead):
        rows = top[bounds[atom] : bounds[atom + 1]]
        items = exemplars.item[rows]
        values = exemplars.value[rows].tolist()
        words = [labels[item] for item in items]
        entropy[atom] = label_entropy(words, values)
        name[atom], share[atom] = top_label(words, values)
        diversity[atom] = 1.0 - mean_cosine(embeddings[items])
    return {
        "atom": np.arange(n_atoms),
        "firing_count": acc.firing,
        "item_count": acc.item_count,
        "frequency": acc.firing / n_tokens,
        "mean_activation": mean,
        "max_activation": np.where(dead, np.nan, acc.maximum),
        "status": statuses(acc.firing, n_tokens).tolist(),
        "label_entropy": entropy,
        "top_label": name,
        "top_label_share": share,
        "monosemanticity": monosemanticity(acc.mixed, acc.weight, acc.squares),
        "diversity": diversity,
    }


def mean_cosine(unit: NDArray[np.float32]) -> float:
    """Mean cosine over all pairs of different rows of ``unit`` [k, e], rows of length 1; NaN below two rows.

    (||sum_i e_i||^2 - k) / (k (k - 1)): the k^2 products of the pairs, summed at once.
    """
    count = len(unit)
    if count < 2:
        return float("nan")
    total = unit.astype(np.float64).sum(axis=0)
    return float((total @ total - count) / (count * (count - 1)))


def label_columns(acc: Accumulators, names: list[str]) -> dict[str, Any]:
    """Columns of ``labels.parquet``: the labels with most tokens of every atom, ties alphabetical."""
    atom, label = np.nonzero(acc.label_tokens)
    tokens = acc.label_tokens[atom, label]
    alphabetical = np.argsort(np.argsort(names)) if names else np.zeros(0, np.int64)
    order = np.lexsort((alphabetical[label], -tokens, atom))
    atom, label, tokens = atom[order], label[order], tokens[order]
    keep = place_in_group(atom) < LABELS_KEPT
    atom, label, tokens = atom[keep], label[keep], tokens[keep]
    return {
        "atom": atom,
        "label": [names[i] for i in label],
        "tokens": tokens,
        "items": acc.label_items[atom, label],
        "share": tokens / acc.firing[atom],
    }
