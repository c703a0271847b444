"""Stage 7, what ``atoms.parquet`` and ``labels.parquet`` say of each atom, worked out from the accumulators of the pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.atlas.build.accumulators import Accumulators
from engine.atlas.format.schema import LABELS_KEPT
from engine.atlas.format.status import statuses
from engine.atlas.format.writer import Exemplars
from engine.atlas.grouping import place_in_group
from engine.metrics import label_entropy, monosemanticity, top_label


@dataclass(frozen=True)
class AtomStatistics:
    """The measured columns of ``atoms.parquet``, [M] each: all but the place on the map and the text labels.

    Attributes
    ----------
    atom : int64
        Index of the atom.
    firing_count, item_count : int64
        Tokens and items on which it fires.
    frequency : float64
        Share of all tokens on which it fires, 0 to 1.
    mean_activation, max_activation : float
        Over the tokens on which it fires, in code units; NaN when it never fires.
    status : str
        dead, rare, live or dense.
    label_entropy : float64
        Of its top exemplars, bits; NaN without labels.
    top_label : list of str
        The label with most of the activation of its top exemplars, "" for none.
    top_label_share : float64
        The share of that label, 0 to 1; NaN without one.
    monosemanticity : float64
        -1 to 1, see :func:`engine.metrics.monosemanticity`.
    diversity : float64
        1 - mean cosine of the embeddings of its top exemplars, 0 to 2; NaN below two of them.
    """

    atom: NDArray[np.int64]
    firing_count: NDArray[np.int64]
    item_count: NDArray[np.int64]
    frequency: NDArray[np.float64]
    mean_activation: NDArray[np.float64]
    max_activation: NDArray[np.float32]
    status: NDArray[Any]
    label_entropy: NDArray[np.float64]
    top_label: list[str]
    top_label_share: NDArray[np.float64]
    monosemanticity: NDArray[np.float64]
    diversity: NDArray[np.float64]


@dataclass(frozen=True)
class LabelShares:
    """Rows of ``labels.parquet``: the labels with most tokens of every atom, ties alphabetical.

    Attributes
    ----------
    atom : int64 [rows]
    label : list of str
    tokens, items : int64, int32 [rows]
        Tokens of items with the label on which the atom fires, and such items.
    share : float64 [rows]
        ``tokens`` over the tokens on which the atom fires at all, 0 to 1.
    """

    atom: NDArray[np.int64]
    label: list[str]
    tokens: NDArray[np.int64]
    items: NDArray[np.int32]
    share: NDArray[np.float64]


def measure_atoms(
    accumulators: Accumulators, exemplars: Exemplars, labels: list[str], embeddings: NDArray[np.float32], n_tokens: int
) -> AtomStatistics:
    """The statistics of every atom.

    Parameters
    ----------
    labels : list of str
        Label of every item, "" for none.
    embeddings : float32 [n_items, e]
        Embedding of every item, of length 1.
    n_tokens : int
        Tokens of all items.
    """
    counts = accumulators.counts
    n_atoms = len(counts.firing)
    dead = counts.firing == 0
    with np.errstate(invalid="ignore"):
        mean = counts.total / counts.firing
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
    moments = accumulators.moments
    return AtomStatistics(
        atom=np.arange(n_atoms),
        firing_count=counts.firing,
        item_count=counts.item_count,
        frequency=counts.firing / n_tokens,
        mean_activation=mean,
        max_activation=np.where(dead, np.float32(np.nan), counts.maximum),
        status=statuses(counts.firing, n_tokens),
        label_entropy=entropy,
        top_label=name,
        top_label_share=share,
        monosemanticity=monosemanticity(moments.mixed, moments.weight, moments.squares),
        diversity=diversity,
    )


def mean_cosine(unit: NDArray[np.float32]) -> float:
    """Mean cosine over all pairs of different rows of ``unit`` [k, e], rows of length 1; NaN below two rows.

    (||sum_i e_i||^2 - k) / (k (k - 1)): the k^2 products of the pairs, summed at once.
    """
    count = len(unit)
    if count < 2:
        return float("nan")
    total = unit.astype(np.float64).sum(axis=0)
    return float((total @ total - count) / (count * (count - 1)))


def share_of_labels(accumulators: Accumulators, names: list[str]) -> LabelShares:
    """The labels of every atom; ``names`` are the counted labels by their number."""
    atom, label = np.nonzero(accumulators.labels.tokens)
    tokens = accumulators.labels.tokens[atom, label]
    alphabetical = np.argsort(np.argsort(names)) if names else np.zeros(0, np.int64)
    order = np.lexsort((alphabetical[label], -tokens, atom))
    atom, label, tokens = atom[order], label[order], tokens[order]
    keep = place_in_group(atom) < LABELS_KEPT
    atom, label, tokens = atom[keep], label[keep], tokens[keep]
    return LabelShares(
        atom=atom,
        label=[names[i] for i in label],
        tokens=tokens,
        items=accumulators.labels.items[atom, label],
        share=tokens / accumulators.counts.firing[atom],
    )
