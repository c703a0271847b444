"""Metrics of sparse autoencoders: pure functions, each with its definition in the docstring."""

from engine.metrics.labels import label_entropy, top_label
from engine.metrics.monosemanticity import MonosemanticitySums, monosemanticity
from engine.metrics.reconstruction import (
    ReconstructionSums,
    explained_variance,
    explained_variance_uncentred,
    fvu,
)
from engine.metrics.sparsity import FiringCounts, l0_bins, l0_mean, l0_quantiles
from engine.metrics.stability import stability

__all__ = [
    "FiringCounts",
    "MonosemanticitySums",
    "ReconstructionSums",
    "explained_variance",
    "explained_variance_uncentred",
    "fvu",
    "l0_bins",
    "l0_mean",
    "l0_quantiles",
    "label_entropy",
    "monosemanticity",
    "stability",
    "top_label",
]
