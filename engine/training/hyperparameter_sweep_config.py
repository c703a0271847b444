"""A hyperparameter sweep as a TOML file: which activations, which seeds, which SAEs with which settings.

    store = "STORE"                 # paths are relative to where the command is run
    out = "FOLDER"
    seeds = [0, 1, 2]               # one pass over the data each; default [0]

    [training]                      # any setting of TrainConfig but the seed
    epochs = 8
    lr = 1e-3

    [defaults]                      # settings of every SAE whose architecture knows them
    n_atoms = 4096
    init = "spread"

    [[sae]]
    architecture = "topk"
    k = [8, 16, 32]                 # a list is a grid: one SAE for each value
    lr = 2e-3                       # lr, seed and name may be an SAE's own

    [[sae]]
    architecture = "batchtopk"
    k = "guide:RUN"                 # half, equal and double the mean L0 that RUN ended at

A pass of seed s shuffles the data by s and starts every SAE from s (or from its own ``seed``), so within a pass all SAEs see the
same batches. Lists make names such as ``topk-k8``.

"guide": sparsity as guidance, arXiv 2604.14925: the L0 that sparsemax finds is a good K for SAEs that must be given one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from engine.activations import ActivationStore
from engine.errors import InputError
from engine.sae import ARCHITECTURES
from engine.sae.registry import config_from_dict
from engine.training.config import TrainConfig
from engine.training.loop import LOG
from engine.training.train_spec import TrainSpec, run_names

GUIDE = "guide:"
_SHARES = (0.5, 1.0, 2.0)
_OWN = ("architecture", "name", "lr", "seed")


@dataclass(frozen=True)
class HyperparameterSweep:
    """The content of a sweep file, checked, with its grids written out.

    Attributes
    ----------
    store, out : Path
    passes : dict of int to TrainConfig
        The settings of every pass, by seed.
    specs : list of TrainSpec
        The SAEs of each pass, all named.
    """

    store: Path
    out: Path
    passes: dict[int, TrainConfig]
    specs: list[TrainSpec]

    def folder(self, seed: int) -> Path:
        """Where the pass of ``seed`` goes."""
        return self.out / f"seed-{seed}"


def read_sweep(path: Path) -> HyperparameterSweep:
    """Read and check the sweep file ``path``; the store's manifest is read for the width of its activations.

    Raises
    ------
    InputError
        If the file is missing or no TOML, or a key or value is wrong; a mistyped key is named with the nearest known one.
    """
    document = _toml(path)
    _check_keys(document, ("store", "out", "seeds", "training", "defaults", "sae"), str(path))
    for key in ("store", "out", "sae"):
        if not document.get(key):
            raise InputError(f"{path}: {key!r} is missing.")
    for key, kind in (("store", str), ("out", str), ("training", dict), ("defaults", dict), ("sae", list)):
        if key in document and not isinstance(document[key], kind):
            raise InputError(f"{path}: {key!r} must be a {_KINDS[kind]}.")
    seeds = document.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise InputError(f"{path}: seeds must be a list of whole numbers from 0 on.")
    training = document.get("training", {})
    known = [entry.name for entry in fields(TrainConfig) if entry.name != "seed"]
    _check_keys(training, known, f"{path}: [training]")
    defaults = document.get("defaults", {})
    settings = {entry.name for config, _ in ARCHITECTURES.values() for entry in fields(config)} - {"d_model"}
    _check_keys(defaults, sorted(settings), f"{path}: [defaults]")
    try:
        passes = {seed: TrainConfig(**training, seed=seed) for seed in dict.fromkeys(seeds)}
    except TypeError as error:
        raise InputError(f"{path}: [training] has a value of the wrong kind ({error}).") from None
    d_model = ActivationStore.open(document["store"]).d_model
    specs = [
        spec
        for number, table in enumerate(document["sae"], 1)
        for spec in _specs(table, defaults, d_model, f"{path}: [[sae]] {number}")
    ]
    run_names(specs)
    return HyperparameterSweep(Path(document["store"]), Path(document["out"]), passes, specs)


def l0_targets(run: Path) -> list[float]:
    """Half, equal and double the mean L0 that the finished training ``run`` ended at.

    Raises
    ------
    InputError
        If there is no finished training.
    """
    if not (run / LOG).is_file():
        raise InputError(f"{run} holds no finished training to be guided by: {LOG} is expected there.")
    log = pd.read_parquet(run / LOG)
    held_out = log["validation_l0"].dropna() if "validation_l0" in log else log["l0"].tail(0)
    mean = float(held_out.iloc[-1] if len(held_out) else log["l0"].iloc[-1])
    return [share * mean for share in _SHARES]


_KINDS = {str: "text in quotes", dict: "table", list: "list of tables, each under [[sae]]"}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} is not a readable TOML file ({error}).") from None


def _check_keys(given: dict[str, Any], known: Sequence[str], where: str) -> None:
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
            raise InputError(f"{where}: unknown setting {key!r}; {hint}")


def _specs(table: Any, defaults: dict[str, Any], d_model: int, where: str) -> list[TrainSpec]:
    """The SAEs of one ``[[sae]]`` table: one for each combination of its lists."""
    if not isinstance(table, dict):
        raise InputError(f"{where} must be a table.")
    architecture = table.get("architecture")
    if architecture not in ARCHITECTURES:
        near = get_close_matches(str(architecture), list(ARCHITECTURES), 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(ARCHITECTURES)}."
        raise InputError(f"{where}: unknown architecture {architecture!r}; {hint}")
    known = [entry.name for entry in fields(ARCHITECTURES[architecture][0]) if entry.name != "d_model"]
    _check_keys(table, [*_OWN, *known], where)
    name = table.get("name", architecture)
    if not isinstance(name, str) or not name or not all(letter.isalnum() or letter in "-_." for letter in name):
        raise InputError(f"{where}: name must be made of letters, digits, '-', '_' and '.'.")
    values = {key: _values(key, value) for key, value in table.items() if key not in ("architecture", "name")}
    grid = [key for key in values if len(values[key]) > 1]
    specs = []
    for chosen in product(*values.values()):
        own = dict(zip(values, chosen, strict=True))
        suffix = "".join(f"-{key}{own[key]:g}" if _number(own[key]) else f"-{own[key]}" for key in grid)
        seed, lr = own.pop("seed", None), own.pop("lr", None)
        if not (seed is None or type(seed) is int) or not (lr is None or _number(lr)):
            raise InputError(f"{where}: seed must be a whole number and lr a number.")
        shared = {key: value for key, value in defaults.items() if key in known}
        config = config_from_dict({"architecture": architecture, "d_model": d_model} | shared | own, where)
        specs.append(TrainSpec(config=config, name=name + suffix, seed=seed, lr=lr))
    return specs


def _values(key: str, value: Any) -> list[Any]:
    """The values of one setting: those of a list, those a guide gives, or the one."""
    if isinstance(value, str) and value.startswith(GUIDE):
        if key not in ("k", "target_l0"):
            raise InputError(f"Only k and target_l0 can be guided by a run, not {key!r}.")
        found = l0_targets(Path(value.removeprefix(GUIDE)))
        return [max(1, round(each)) for each in found] if key == "k" else [round(each, 2) for each in found]
    if isinstance(value, list):
        if not value:
            raise InputError(f"The list of values for {key!r} is empty.")
        return list(dict.fromkeys(value))
    return [value]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
