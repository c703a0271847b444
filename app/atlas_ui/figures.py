"""Figures of an SAE as a page writes them: what each means, and its value with its unit."""

from __future__ import annotations

import math
from typing import Any

from app import ui

MEANING = {
    "explained_variance": "Share of the variance of the activations that the reconstruction explains, after the mean is taken "
    "off: 1 - FVU. 100% is perfect.",
    "l0_mean": "L0: atoms with a code other than zero, mean over tokens. Fewer is easier to read, more reconstructs better.",
    "dead_share": "Atoms that never fire. They cost memory and mean nothing.",
    "label_entropy": "Entropy of the class labels of an atom's top exemplars, weighted by activation; mean over atoms. "
    "0 bits: one class each.",
    "monosemanticity": "How alike the items are that an atom fires on: activation-weighted mean pairwise cosine of their "
    "embeddings, mean over atoms.",
    "fvu": "Fraction of variance unexplained: squared error over the variance of the activations, both summed over tokens. "
    "0 is perfect.",
    "dense_share": "Atoms that fire on more than a tenth of all tokens.",
}


def format_figure(name: str, value: float | None) -> str:
    """A figure with its unit."""
    if value is None:
        return "–"
    if name == "explained_variance":
        return f"{value:.1%}"
    if name in ("dead_share", "dense_share"):
        return ui.percent(value)
    if name == "label_entropy":
        return f"{value:.2f} bits"
    return f"{value:.1f}" if name == "l0_mean" else ui.number(value)


def number(value: Any) -> float | None:
    """A recorded figure as a finite number; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
