"""Checkpoints of a training run: safetensors and JSON, written whole or not at all.

A run keeps them in ``checkpoint/step-NNNNNNNNN/``; the newest wins and older ones go once it stands. A run that has finished
has none.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.distributed import ALONE, Group
from engine.errors import InputError
from engine.files import atomic_path, read_json, write_json
from engine.training.trainee import Trainee

FOLDER = "checkpoint"


def save_checkpoint(
    run: Path, fingerprint: dict[str, Any], position: dict[str, int], trainees: list[Trainee], group: Group = ALONE
) -> None:
    """Write the state of all ``trainees`` and the ``position`` in the data, then drop older checkpoints.

    Every process of ``group`` calls it, because a split dictionary is gathered; the first one writes.
    """
    if not group.first:
        for trainee in trainees:
            trainee.state()
        return
    target = run / FOLDER / f"step-{position['step']:09d}"
    with atomic_path(target) as temporary:
        temporary.mkdir(parents=True)
        values = {}
        for trainee in trainees:
            tensors, values[trainee.name] = trainee.state()
            save_file(tensors, temporary / f"{trainee.name}.safetensors")
        write_json(temporary / "state.json", {"fingerprint": fingerprint, "position": position, "trainees": values})
    for other in (run / FOLDER).iterdir():
        if other != target:
            shutil.rmtree(other, ignore_errors=True)


def restore_checkpoint(run: Path, fingerprint: dict[str, Any], trainees: list[Trainee]) -> dict[str, int] | None:
    """Restore the newest checkpoint of ``run`` and return its position, or None when there is none.

    Raises
    ------
    InputError
        If the checkpoint belongs to a training with other settings or other activations, or is damaged.
    """
    found = sorted((run / FOLDER).glob("step-*"))
    if not found:
        return None
    document = read_json(found[-1] / "state.json")
    refuse_other_settings(run, document["fingerprint"], fingerprint, "an unfinished")
    for trainee in trainees:
        path = found[-1] / f"{trainee.name}.safetensors"
        try:
            trainee.restore(load_file(path), document["trainees"][trainee.name])
        except (SafetensorError, OSError, KeyError, RuntimeError) as error:
            raise InputError(f"{path} is damaged ({error}). Delete {run} and train again.") from None
    position: dict[str, int] = document["position"]
    return position


def drop_checkpoints(run: Path) -> None:
    """Remove the checkpoints of a finished run."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def refuse_other_settings(run: Path, old: dict[str, Any], new: dict[str, Any], what: str) -> None:
    """Raise an ``InputError`` naming the first setting in which two fingerprints differ."""
    for part in sorted(set(old) | set(new)):
        before, now = old.get(part), new.get(part)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            key = next(key for key in sorted(set(before) | set(now)) if before.get(key) != now.get(key))
            part, before, now = f"{part}.{key}", before.get(key), now.get(key)
        raise InputError(
            f"{run} holds {what} training with other settings ({part} was {before}, now {now}). "
            "Choose another folder with -o, or delete this one."
        )
