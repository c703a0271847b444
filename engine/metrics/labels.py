"""How well an atom's exemplars agree on a label."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def label_weights(labels: Iterable[str], values: Iterable[float]) -> dict[str, float]:
    """Weight of each label: the summed activation of the exemplars that carry it, as a share of the whole.

    Exemplars without a label (``""``) and with an activation of zero or less are left out. Empty when none is left.
    """
    weights: dict[str, float] = {}
    for label, value in zip(labels, values, strict=True):
        if label and value > 0:
            weights[label] = weights.get(label, 0.0) + float(value)
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def label_entropy(labels: Iterable[str], values: Iterable[float]) -> float:
    """Entropy, in bits, of the labels of an atom's top exemplars weighted by their activation.

    With p_l the share of ``label_weights``: -sum p_l log2 p_l. 0 when all exemplars carry one label, log2 of the number
    of labels when they share the weight evenly; NaN when no exemplar has a label.
    """
    shares = np.array(list(label_weights(labels, values).values()))
    # Adding 0.0 turns the -0.0 of a single label into 0.0.
    return float(-(shares * np.log2(shares)).sum() + 0.0) if len(shares) else float("nan")


def top_label(labels: Iterable[str], values: Iterable[float]) -> tuple[str, float]:
    """The heaviest label and its share of the weight; ties go to the alphabetically first; ``("", nan)`` without labels."""
    weights = label_weights(labels, values)
    if not weights:
        return "", float("nan")
    label = min(weights, key=lambda name: (-weights[name], name))
    return label, weights[label]
