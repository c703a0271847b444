"""``train_on_store``: SAEs by name on the store at a path, with a size and a length that suit the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from engine.activations import ActivationStore
from engine.distributed import joined
from engine.progress import Progress
from engine.sae import parse_config
from engine.training.config import TrainConfig
from engine.training.loop import LOG, train


@dataclass(frozen=True)
class TrainedRun:
    """A finished run: its folder, and the end of its training log in words."""

    folder: Path
    summary: str


def train_on_store(
    acts: Path,
    out: Path,
    saes: Sequence[str],
    settings: Mapping[str, Any],
    options: TrainConfig,
    atoms: int | None = None,
    epochs: float | None = None,
    split: str = "tokens",
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> list[TrainedRun]:
    """Train each of ``saes`` on the store at ``acts``; under torchrun this process trains its share.

    Parameters
    ----------
    saes : sequence of str
        ``NAME[:key=value,...]``, see ``engine.sae.parse_config``.
    settings : mapping
        Settings for the architectures that know them; what a name of ``saes`` says wins.
    options : TrainConfig
        How to train; its ``epochs`` are replaced.
    atoms, epochs : optional
        None: what suits the number of training tokens, see ``default_atoms`` and ``default_epochs``.
    split, tensorboard
        See ``engine.training.train``.

    Returns
    -------
    list of TrainedRun
        In the order of ``saes``; empty in every process of torchrun's but the first.

    Raises
    ------
    InputError, AtomscopeError
        As ``engine.training.train`` does.
    """
    store = ActivationStore.open(acts)
    available = len(store.rows("train")) * store.n_positions or store.n_tokens
    wanted = default_atoms(available) if atoms is None else atoms
    configs = [parse_config(text, store.d_model, wanted, **settings) for text in saes]
    options = replace(options, epochs=default_epochs(available, options.batch_tokens) if epochs is None else epochs)
    with joined() as group:
        folders = train(configs, store, out, options, progress, tensorboard, group, split)
    return [TrainedRun(folder, last_figures(folder)) for folder in folders] if group.first else []


def default_atoms(tokens: int) -> int:
    """A dictionary the data can fill: the power of two below one atom per 128 tokens, between 512 and 8192."""
    return min(max(1 << max(tokens // 128, 1).bit_length() - 1, 512), 8192)


def default_epochs(tokens: int, batch: int) -> float:
    """The demo's 8 passes; on a small folder as many as make 300 steps, since fewer leave the start as it was."""
    return max(8.0, float(math.ceil(300 * batch / max(tokens, 1)))) if batch > 0 else 8.0


def last_figures(folder: Path) -> str:
    """The end of a run's training log in words."""
    log = pd.read_parquet(folder / LOG)
    row = log.iloc[-1]
    words = f"NMSE {row['nmse']:.4f}, L0 {row['l0']:.1f}, dead {row['dead']:.1%} after {int(row['tokens']):,} tokens"
    held_out = log["validation_nmse"].dropna()
    return words + (f"; NMSE on the validation split {held_out.iloc[-1]:.4f}" if len(held_out) else "")
