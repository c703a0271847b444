"""The training loop: every SAE of a run sees the same shuffled batches, in one pass over the store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.device import pick_device
from engine.distributed import ALONE, Group
from engine.errors import InputError
from engine.files import atomic_path, read_json, write_json
from engine.metrics.reconstruction import ReconstructionSums
from engine.progress import Progress, SilentProgress
from engine.sae import SAEConfig, save_sae
from engine.training.checkpoint import (
    drop_checkpoints,
    refuse_other_settings,
    restore_checkpoint,
    save_checkpoint,
)
from engine.training.checks import check_finite
from engine.training.config import TrainConfig
from engine.training.curves import Curves
from engine.training.parallel.checks import check_shareable
from engine.training.train_spec import TrainSpec, run_names
from engine.training.trainee import Trainee

if TYPE_CHECKING:
    from engine.activations import ActivationStore

RUN, LOG = "run.json", "training.parquet"

# Settings that say when to write something down; two trainings that differ in them give the same SAE.
_CADENCE = ("checkpoint_minutes",)


def train(
    saes: Sequence[SAEConfig | TrainSpec],
    store: ActivationStore,
    out: Path,
    options: TrainConfig | None = None,
    progress: Progress | None = None,
    tensorboard: bool = False,
    group: Group = ALONE,
    split: str = "tokens",
) -> list[Path]:
    """Train one SAE for each of ``saes`` on the store's ``train`` split (on everything when there are no splits).

    A training that was stopped goes on from its last checkpoint and ends with bit for bit the same weights, on the same
    machine with the same number of threads; one that is finished is left alone.

    Parameters
    ----------
    saes : sequence of SAEConfig or TrainSpec
        An ``TrainSpec`` may have a name, a seed and a learning rate of its own.
    tensorboard : bool
        Also write curves into ``out/tensorboard``, see ``engine.training.curves``.
    group : Group
        Where it has several processes, each computes its share of every batch and the first one writes. They all read
        ``store`` and ``out``, which lie on a disk they share.
    split : "tokens" or "dictionary"
        With "dictionary" each process of ``group`` holds a part of the atoms instead, and computes all tokens for them.

    Returns
    -------
    list of Path
        One folder for each SAE: ``out`` itself for a single one without a name, else ``out/NAME``, by default with the
        architecture for a name. Each holds ``config.json``, ``weights.safetensors``, ``training.parquet`` and ``run.json``.

    Raises
    ------
    InputError
        If the store has another width than the configs, or ``out`` holds a training with other settings.
    AtomscopeError
        If an activation is NaN or infinite, the loss diverges or the disk is full.
    """
    options, progress, out = options or TrainConfig(), group.progress(progress or SilentProgress()), Path(out)
    specs = [sae if isinstance(sae, TrainSpec) else TrainSpec(config=sae) for sae in saes]
    check_shareable([spec.config for spec in specs], group, split)
    for spec in specs:
        if (width := spec.config.d_model) != store.d_model:
            raise InputError(f"The store has activations of width {store.d_model}, the SAE wants {width}.")
    names = run_names(specs)
    alone = len(specs) == 1 and specs[0].name is None
    folders = [out if alone else out / name for name in names]
    fingerprint = _fingerprint(specs, names, options, store)
    if _finished(out, folders, fingerprint):
        return folders

    device = pick_device(group.device(options.device))
    if options.precision == "bf16" and device.type != "cuda":
        raise InputError("--precision bf16 is for GPUs: on a CPU it saves no time, so leave it out.")
    rows = store.rows("train")
    rows = rows if len(rows) else store.rows()
    available = len(rows) * store.n_positions
    if available == 0:
        raise InputError("The activation store is empty: extract activations first.")
    total = options.total_tokens(available)
    total_steps = options.total_steps(available)
    make = _trainee_class(group, split).make
    trainees = [make(name, spec, options, device, group) for name, spec in zip(names, specs, strict=True)]
    position = restore_checkpoint(out, fingerprint, trainees)
    if position is None:
        _initialise(trainees, store, rows, options, device)
        position = {"step": 0, "tokens": 0, "epoch": 0, "batch": 0}
    for trainee in trainees:
        trainee.settle()
    held_out = _validation_tokens(store, options, device)
    curves = Curves(out, trainees) if tensorboard and group.first else None

    progress.start("train", total, "tokens")
    progress.advance(position["tokens"])
    saved = logged = time.monotonic()
    logged_tokens = position["tokens"]
    for x, place in _batches(store, rows, options, total, position):
        x = x.to(device)
        lr = options.learning_rate(place["step"] - 1, total_steps)
        for trainee in trainees:
            trainee.step(x, lr * trainee.lr_factor, options.grad_clip)
        step, tokens, done = place["step"], place["tokens"], place["tokens"] >= total
        if step % options.log_every == 0 or done:
            now = time.monotonic()
            speed = (tokens - logged_tokens) / max(now - logged, 1e-9)
            logged, logged_tokens = now, tokens
            for trainee in trainees:
                trainee.record(step, tokens, lr * trainee.lr_factor, speed, options.dead_window)
        if held_out is not None and (step % options.validate_every == 0 or done):
            for trainee in trainees:
                _validate(trainee, held_out)
        if curves is not None and (step % options.log_every == 0 or done):
            curves.write()
        progress.advance(len(x), "  |  ".join(trainee.note() for trainee in trainees))
        if not done and group.agreed(time.monotonic() - saved > 60 * options.checkpoint_minutes):
            save_checkpoint(out, fingerprint, place, trainees, group)
            saved = time.monotonic()
    progress.finish()
    if curves is not None:
        curves.close()

    for trainee, folder in zip(trainees, folders, strict=True):
        trainee.sae = trainee.whole()
        if group.first:
            _write(trainee, folder, options, store, fingerprint)
    if group.first:
        drop_checkpoints(out)
    group.wait()
    return folders


def _trainee_class(group: Group, split: str) -> type[Trainee]:
    """How SAEs are trained by ``group``. What several processes need takes torch half a second to import."""
    if group.size == 1:
        return Trainee
    if split == "dictionary":
        from engine.training.parallel.split_trainee import SplitTrainee

        return SplitTrainee
    from engine.training.parallel.shared_trainee import SharedTrainee

    return SharedTrainee


def _batches(
    store: ActivationStore, rows: NDArray[np.int64], options: TrainConfig, total: int, position: dict[str, int]
) -> Iterator[tuple[Tensor, dict[str, int]]]:
    """Shuffled batches from ``position`` on until ``total`` tokens are seen, each with the position after it."""
    position = dict(position)
    while position["tokens"] < total:
        batches = store.batches(
            options.batch_tokens,
            rows=rows,
            shuffle=True,
            seed=options.seed,
            epoch=position["epoch"],
            start=position["batch"],
        )
        for batch in batches:
            check_finite(batch, store)
            position = position | {
                "step": position["step"] + 1,
                "tokens": position["tokens"] + len(batch.x),
                "batch": position["batch"] + 1,
            }
            yield batch.x, position
            if position["tokens"] >= total:
                return
        position = position | {"epoch": position["epoch"] + 1, "batch": 0}


def _initialise(
    trainees: list[Trainee], store: ActivationStore, rows: NDArray[np.int64], options: TrainConfig, device: torch.device
) -> None:
    """Let every SAE measure its input normalisation and starting point on the same sample of training tokens."""
    parts, have = [], 0
    # Another seed than the training order's, so that the sample is not simply the first batches.
    for batch in store.batches(options.batch_tokens, rows=rows, shuffle=True, seed=options.seed + 1):
        check_finite(batch, store)
        parts.append(batch.x)
        have += len(batch.x)
        if have >= options.init_tokens:
            break
    sample = torch.cat(parts)[: options.init_tokens].to(device)
    for trainee in trainees:
        trainee.sae.initialise(sample, torch.Generator().manual_seed(trainee.seed))


def _validation_tokens(store: ActivationStore, options: TrainConfig, device: torch.device) -> Tensor | None:
    """A fixed sample of tokens of the validation split, or None when the store has none."""
    rows = store.rows("validation")
    if not len(rows) or options.validation_tokens < 2:
        return None
    tokens = min(options.validation_tokens, len(rows) * store.n_positions)
    batch = next(iter(store.batches(tokens, rows=rows, shuffle=True, seed=options.seed)))
    check_finite(batch, store)
    return batch.x.to(device)


@torch.no_grad()
def _validate(trainee: Trainee, tokens: Tensor) -> None:
    """Put NMSE and mean L0 on the held-out tokens into the newest row of the log."""
    trainee.sae.eval()
    sums, active = ReconstructionSums(tokens.shape[1]), 0
    for x in tokens.split(4096):
        output = trainee.sae(x)
        sums.add(x, output.x_hat)
        active += output.codes.nnz
    trainee.sae.train()
    if trainee.log:
        trainee.log[-1] |= {"validation_nmse": sums.fvu, "validation_l0": active / len(tokens)}


def _fingerprint(
    specs: Sequence[TrainSpec], names: list[str], options: TrainConfig, store: ActivationStore
) -> dict[str, Any]:
    """Everything that decides the result: two runs with the same one give the same SAEs."""
    training = {key: value for key, value in options.to_dict().items() if key not in _CADENCE}
    if options.precision == "float32":  # runs older than this setting were trained so
        del training["precision"]
    saes = {name: spec.to_dict() for name, spec in zip(names, specs, strict=True)}
    return {"training": training, "activations": store.hash, "saes": list(saes)} | saes


def _finished(out: Path, folders: list[Path], fingerprint: dict[str, Any]) -> bool:
    """Whether this very training is already finished; refuses a folder that holds another one."""
    present = [folder for folder in folders if (folder / RUN).is_file()]
    for folder in present:
        refuse_other_settings(out, read_json(folder / RUN)["fingerprint"], fingerprint, "a finished")
    return len(present) == len(folders)


def _write(
    trainee: Trainee, folder: Path, options: TrainConfig, store: ActivationStore, fingerprint: dict[str, Any]
) -> None:
    """Write one run folder; ``run.json`` comes last and marks it whole."""
    save_sae(trainee.sae, folder, options.dtype)
    with atomic_path(folder / LOG) as temporary:
        pd.DataFrame(trainee.log).astype({"step": "int64", "tokens": "int64"}).to_parquet(temporary, index=False)
    write_json(
        folder / RUN,
        {
            "sae": trainee.sae.config.to_dict(),
            "training": options.to_dict() | {"seed": trainee.seed, "lr": options.lr * trainee.lr_factor},
            "data_seed": options.seed,
            "activations": {"hash": store.hash, "dtype": store.dtype, "tokens": store.n_tokens},
            "corpus": store.corpus,
            "backbone": store.backbone,
            "threads": torch.get_num_threads(),
            "packages": {name: version(name) for name in ("torch", "numpy", "safetensors", "atomscope")},
            "fingerprint": fingerprint,
        },
    )
