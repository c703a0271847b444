"""Run a hyperparameter sweep: one pass over the data for each seed, all SAEs in every pass, and one table of the results."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pandas as pd

from engine.activations import ActivationStore
from engine.files import atomic_path, read_json
from engine.progress import Progress, SilentProgress
from engine.training.checkpoint import FOLDER as CHECKPOINT
from engine.training.hyperparameter_sweep_config import HyperparameterSweep
from engine.training.loop import LOG, RUN, train
from engine.training.train_spec import TrainSpec

TABLE = "sweep.parquet"

_LAST = ("tokens", "loss", "nmse", "l0", "dead", "seconds")
_HELD_OUT = ("validation_nmse", "validation_l0")


def run_sweep(sweep: HyperparameterSweep, progress: Progress | None = None, tensorboard: bool = False) -> pd.DataFrame:
    """Train every pass of ``sweep`` and write ``sweep.parquet`` into its folder; the table is also returned.

    A sweep that was stopped goes on where it was: finished passes are left alone, an unfinished one goes on from its
    checkpoint.

    Raises
    ------
    InputError, AtomscopeError
        As ``engine.training.train`` does.
    """
    progress = progress or SilentProgress()
    store = ActivationStore.open(sweep.store)
    for seed, options in sweep.passes.items():
        train(sweep.specs, store, sweep.folder(seed), options, progress, tensorboard)
    table = summary(sweep)
    with atomic_path(sweep.out / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    return table


def plan(sweep: HyperparameterSweep) -> pd.DataFrame:
    """What a sweep trains, one row per SAE and seed, and the state of each: ``new``, ``unfinished`` or ``finished``."""
    rows = []
    for seed, options in sweep.passes.items():
        folder = sweep.folder(seed)
        started = (folder / CHECKPOINT).is_dir()
        for spec in sweep.specs:
            done = (folder / str(spec.name) / RUN).is_file()
            rows.append(
                {
                    "seed": seed,
                    "name": spec.name,
                    "architecture": spec.config.architecture,
                    "atoms": spec.config.n_atoms,
                    "lr": spec.lr or options.lr,
                    "settings": _settings(spec),
                    "state": "finished" if done else "unfinished" if started else "new",
                }
            )
    return pd.DataFrame(rows)


def summary(sweep: HyperparameterSweep) -> pd.DataFrame:
    """One row per SAE and seed: its folder and the last figures of its log."""
    rows: list[dict[str, Any]] = []
    for seed in sweep.passes:
        for spec in sweep.specs:
            folder = sweep.folder(seed) / str(spec.name)
            training = read_json(folder / RUN)["training"]
            log = pd.read_parquet(folder / LOG)
            row: dict[str, Any] = {"name": spec.name, "architecture": spec.config.architecture, "seed": seed}
            row |= {"lr": training["lr"], "settings": _settings(spec)}
            row |= {key: log[key].iloc[-1] for key in _LAST}
            row |= {key: log[key].dropna().iloc[-1] if log[key].notna().any() else float("nan") for key in _HELD_OUT}
            rows.append(row | {"folder": str(folder.relative_to(sweep.out))})
    return pd.DataFrame(rows)


def _settings(spec: TrainSpec) -> str:
    """The settings that differ from the architecture's defaults, but for the sizes."""
    changed = {
        entry.name: getattr(spec.config, entry.name)
        for entry in fields(spec.config)
        if entry.name not in ("d_model", "n_atoms") and getattr(spec.config, entry.name) != entry.default
    }
    own = {} if spec.seed is None else {"seed": spec.seed}
    return " ".join(f"{key}={value}" for key, value in (changed | own).items())
