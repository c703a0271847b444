"""The saved state of a training, from which a training that was killed continues."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.demo.mllm.adapted import AdaptedModel
from engine.files import atomic_path, read_json, write_json


def save_checkpoint(
    adapted: AdaptedModel, work: Path, step: int, optimiser: torch.optim.Optimizer, history: list[dict[str, Any]]
) -> None:
    """Write parameters and optimiser to ``work`` as safetensors, then step, options and history as JSON."""
    state = {f"p.{name}": p.detach().contiguous().cpu() for name, p in adapted.trained.items()}
    for index, entry in optimiser.state_dict()["state"].items():
        state |= {f"o.{index}.{key}": value.contiguous().cpu() for key, value in entry.items()}
    with atomic_path(work / "checkpoint.safetensors") as temporary:
        save_file(state, temporary)
    write_json(work / "history.json", {"config": asdict(adapted.config), "step": step, "history": history})


def resume(adapted: AdaptedModel, work: Path, optimiser: torch.optim.Optimizer, history: list[dict[str, Any]]) -> int:
    """Load the checkpoint in ``work``, if there is one of the same options; returns how many steps are done."""
    if not (work / "history.json").is_file():
        return 0
    document = read_json(work / "history.json")
    if document["config"] != _plain(asdict(adapted.config)):
        return 0
    state = load_file(work / "checkpoint.safetensors")
    with torch.no_grad():
        for name, parameter in adapted.trained.items():
            parameter.copy_(state[f"p.{name}"])
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith("o."):
            _, index, key = name.split(".")
            entries.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": entries})
    history += document["history"]
    return int(document["step"])


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}
