"""Stability over seeds: match the atoms of the measured SAEs with those of runs from other seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from engine.metrics.stability import stability
from engine.sae import load_sae

if TYPE_CHECKING:
    from engine.sae import SparseAutoencoder


def load_other_seeds(paths: Sequence[Path], measured: Iterable[SparseAutoencoder]) -> dict[str, SparseAutoencoder]:
    """The SAEs of runs from other seeds, by path.

    Raises
    ------
    InputError
        If one of them has an architecture that no SAE of ``measured`` has.
    """
    architectures = {sae.config.architecture for sae in measured}
    others = {str(path): load_sae(path) for path in paths}
    for path, other in others.items():
        if other.config.architecture not in architectures:
            raise InputError(
                f"--stability {path} is a {other.config.architecture} SAE, and none of that kind is measured."
            )
    return others


def stability_over_seeds(sae: SparseAutoencoder, others: Mapping[str, SparseAutoencoder]) -> dict[str, Any] | None:
    """How well the atoms of ``sae`` are found again in each of ``others`` of its architecture.

    Returns
    -------
    dict or None
        ``cosine`` and ``shared`` as the means over the runs, and ``runs``: path -> see ``engine.metrics.stability``. None
        where no run has the architecture.
    """
    runs = {
        path: stability(sae.directions(), other.directions().to(next(sae.parameters()).device))
        for path, other in others.items()
        if other.config.architecture == sae.config.architecture
    }
    if not runs:
        return None
    means = {key: sum(run[key] for run in runs.values()) / len(runs) for key in ("cosine", "shared")}
    return means | {"runs": runs}
