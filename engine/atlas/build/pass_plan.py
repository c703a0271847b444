"""Stage 2, decided before the pass begins: histogram edges, the numbers of the labels, the size of the token sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.atlas.build.encoding import EncodedTokens

BINS = 64
COACTIVATION_TOKENS = 131_072
COACTIVATION_ENTRIES = 8_000_000
COACTIVATION_PAIRS = 2_000_000_000

LABEL_CELLS = 50_000_000
"""Atoms times labels that are counted at most: 600 MB."""


@dataclass(frozen=True)
class PassPlan:
    """The counted labels, the histogram edges and the sample size of one pass.

    Attributes
    ----------
    edges : float64 [BINS + 1]
        Histogram edges, ascending, in code units.
    label_ids : int32 [n_items]
        Number of every item's label, -1 for none and for labels that are not counted.
    label_names : list of str
        The counted labels.
    coactivation_tokens : int
        How many tokens of the whole store the sample for co-activation should hold.
    """

    edges: NDArray[np.float64]
    label_ids: NDArray[np.int32]
    label_names: list[str]
    coactivation_tokens: int


def plan_pass(sample: EncodedTokens, store: ActivationStore, n_atoms: int) -> PassPlan:
    """The plan of the pass over ``store`` from the codes of the sampled items."""
    ids, names = label_ids(store.items["label"].tolist(), n_atoms)
    return PassPlan(histogram_edges(sample.val), ids, names, coactivation_size(sample.sizes, store.n_tokens))


def histogram_edges(values: NDArray[np.float32], bins: int = BINS) -> NDArray[np.float64]:
    """Bin edges for activations like ``values``: even steps of asinh(v / s), linear near 0 and logarithmic beyond.

    s is the median of \\|v\\|; the range is the sample's, a tenth wider below and a quarter above (in that scale), and does not
    pass 0 when all values have one sign. The edges depend on the set of sampled values only, not on any order.
    """
    if len(values) == 0:
        return np.linspace(0.0, 1.0, bins + 1)
    scale = float(np.median(np.abs(values))) or 1.0
    low, high = (float(np.arcsinh(v / scale)) for v in (values.min(), values.max()))
    span = max(high - low, 0.5)
    lower, upper = low - 0.1 * span, high + 0.25 * span
    if low >= 0:
        lower = max(lower, 0.0)
    if high <= 0 and low < 0:
        upper = min(upper, 0.0)
    return scale * np.sinh(np.linspace(lower, upper, bins + 1))


def coactivation_size(support: NDArray[np.int64], n_tokens: int) -> int:
    """Tokens of the co-activation sample: all, or as many as keep its entries and its pairs of atoms bounded.

    Parameters
    ----------
    support : int64 [tokens]
        Support sizes of some tokens.
    n_tokens : int
        Tokens of the whole store.
    """
    if len(support) == 0:
        return 0
    entries, pairs = max(support.mean(), 1.0), max(np.square(support.astype(np.float64)).mean(), 1.0)
    bounds = (n_tokens, COACTIVATION_TOKENS, COACTIVATION_ENTRIES / entries, COACTIVATION_PAIRS / pairs)
    return int(min(bounds))


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
