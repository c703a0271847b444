"""All SAEs of a sweep, measured on the same held-out data: mean and range over the seeds of each.

Each SAE's figures are kept beside its weights, so that a comparison that was stopped goes on where it was, and one more SAE in
the sweep costs only its own measuring.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from engine.errors import InputError
from engine.files import read_json, write_json
from engine.metrics.stability import stability
from engine.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from engine.sae import SparseAutoencoder

TABLE = "sweep.parquet"
_FIGURES = "measured-{}.json"
Measure = Callable[["SparseAutoencoder"], dict[str, Any]]


def compare(
    folder: Path, measure: Measure, about: Mapping[str, Any], match_seeds: bool = True, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure every SAE of the sweep in ``folder``.

    Parameters
    ----------
    measure : SAE -> JSON-ready figures, nested dicts of numbers.
    about : what was measured and on which data; figures kept under another ``about`` are measured again.
    match_seeds : also match the atoms of every two seeds of an SAE by the Hungarian algorithm.

    Returns
    -------
    dict, JSON-ready
        ``seeds`` and ``saes``: name -> ``architecture``, ``settings``, ``seeds``, ``figures`` (each figure as "mean", "low",
        "high" over the seeds) and ``seconds`` of training.

    Raises
    ------
    InputError
        If ``folder`` holds no finished sweep.
    """
    from engine.sae import load_sae

    progress = progress or SilentProgress()
    if not (folder / TABLE).is_file():
        raise InputError(f"{folder} holds no finished sweep: run atomscope sweep CONFIG.toml first.")
    table = pd.read_parquet(folder / TABLE)
    found: dict[str, Any] = {}
    for name, rows in table.groupby("name", sort=False):
        measured = []
        for path in rows["folder"]:
            measured.append(_kept(folder / path, about, lambda path=path: measure(load_sae(folder / path))))  # type: ignore[misc]
        if match_seeds and len(rows) > 1:
            for place, agreement in enumerate(_agreement(folder, list(rows["folder"]), about, progress)):
                measured[place] = measured[place] | {"stability": agreement}
        first = rows.iloc[0]
        found[str(name)] = {
            "architecture": first["architecture"],
            "settings": first["settings"],
            "seeds": [int(seed) for seed in rows["seed"]],
            "seconds": _spread(rows["seconds"].tolist()),
            "figures": _over_seeds(measured),
        }
    return {"seeds": sorted({int(seed) for seed in table["seed"]}), "about": dict(about), "saes": found}


def _kept(folder: Path, about: Mapping[str, Any], work: Callable[[], dict[str, Any]], kind: str = "") -> dict[str, Any]:
    """Figures from an earlier comparison of the same weights, else those that ``work`` measures now."""
    weights = read_json(folder / "config.json")["weights"]["sha256"]
    key = hashlib.sha256(json.dumps([weights, dict(about), kind], sort_keys=True).encode()).hexdigest()[:16]
    path = folder / _FIGURES.format(key)
    if not path.is_file():
        write_json(path, work())
    kept: dict[str, Any] = read_json(path)
    return kept


def _agreement(folder: Path, paths: list[str], about: Mapping[str, Any], progress: Progress) -> list[dict[str, float]]:
    """Stability of every seed: the mean over its matchings with the others."""
    from engine.sae import load_sae

    pairs = list(combinations(range(len(paths)), 2))
    progress.start(f"match {Path(paths[0]).name}", len(pairs), "pairs")
    each: list[list[dict[str, float]]] = [[] for _ in paths]
    for one, two in pairs:
        other = read_json(folder / paths[two] / "config.json")["weights"]["sha256"]

        def matched(one: int = one, two: int = two) -> dict[str, Any]:
            return stability(load_sae(folder / paths[one]).directions(), load_sae(folder / paths[two]).directions())

        agreement = _kept(folder / paths[one], about, matched, f"stability {other}")
        each[one].append(agreement)
        each[two].append(agreement)
        progress.advance()
    progress.finish()
    return [{key: float(np.mean([a[key] for a in found])) for key in ("cosine", "shared")} for found in each]


def _over_seeds(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all seeds together: nested as they are, every number as its mean and range."""
    found: dict[str, Any] = {}
    for key in measured[0]:
        values = [one.get(key) for one in measured]
        if all(isinstance(value, dict) for value in values):
            found[key] = _over_seeds(values)  # type: ignore[arg-type]
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            found[key] = _spread(values)  # type: ignore[arg-type]
    return found


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "low": float(min(values)), "high": float(max(values))}
