"""Training of the demo model: align the projector with the word embeddings, then learn to judge and to describe.

1. *Alignment* (a minute): the projector alone; a picture's best-matching tokens should look like the caption's word
   embeddings (late interaction, contrastive inside a batch). Picture tokens then begin as words the language model knows.
2. *Judging and describing*: projector and LoRA; every caption of a group of hard negatives is judged on each of its
   pictures (True / False, balanced), ranked along rows and columns, and every picture's own caption is spoken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.demo.mllm.adapted import AdaptedModel
from engine.demo.mllm.alignment import align
from engine.demo.mllm.checkpoint import resume, save_checkpoint
from engine.demo.mllm.config import MllmConfig
from engine.demo.mllm.evaluation import validate
from engine.demo.mllm.losses import group_losses
from engine.demo.mllm.pairs import TrainingPairs, groups
from engine.demo.mllm.questions import CHANCES, JUDGEMENT_QUESTIONS
from engine.progress import Progress


def train(
    adapted: AdaptedModel, material: TrainingPairs, held_out: TrainingPairs, work: Path, progress: Progress
) -> dict[str, Any]:
    """Train, or go on training where a checkpoint in ``work`` stopped.

    Returns
    -------
    dict
        The record of the best validation, whose parameters are in ``work / "best.safetensors"``.
    """
    config = adapted.config
    history: list[dict[str, Any]] = []
    optimiser = torch.optim.AdamW(
        [
            {"params": list(adapted.projector.parameters()), "lr": config.projector_lr},
            {"params": [p for n, p in adapted.trained.items() if "lora_" in n], "lr": config.lora_lr},
        ],
        weight_decay=config.decay,
        betas=(0.9, 0.98),
    )
    per_pass = len(material.rows) // config.group
    total = int(config.passes * per_pass)
    step = resume(adapted, work, optimiser, history)
    if step == 0:
        align(adapted, material, progress)
    progress.start("Teaching the demo model", total, "groups")
    progress.advance(step)
    peaks = [group["lr"] for group in optimiser.param_groups]
    if step:
        peaks = [config.projector_lr, config.lora_lr]
    running: dict[str, float] = {}
    for number, members in _schedule(config, material, total, per_pass, step):
        rng = np.random.default_rng((config.seed, number))
        judgement = JUDGEMENT_QUESTIONS[int(rng.choice(len(JUDGEMENT_QUESTIONS), p=CHANCES))]
        torch.manual_seed(config.seed * 1_000_003 + number)
        warm = min(1.0, (number + 1) / 60)
        fade = 0.5 * (1 + math.cos(math.pi * number / total))
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * warm * max(fade, 0.02)
        losses = group_losses(adapted, material, members, judgement, rng)
        optimiser.zero_grad(set_to_none=True)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(list(adapted.trained.values()), 1.0)
        optimiser.step()
        for name, value in losses.items():
            running[name] = 0.95 * running.get(name, value.item()) + 0.05 * value.item()
        progress.advance(1, "  ".join(f"{name} {value:.3f}" for name, value in running.items()))
        if (number + 1) % config.every == 0 or number + 1 == total:
            record = {"step": number + 1, **running, **validate(adapted, held_out)}
            history.append(record)
            if _best(history) is record:
                adapted.save(work / "best.safetensors")
            save_checkpoint(adapted, work, number + 1, optimiser, history)
            progress.warn(", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in record.items()))
    progress.finish()
    return _best(history)


def _schedule(
    config: MllmConfig, material: TrainingPairs, total: int, per_pass: int, step: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The groups of all steps from ``step`` on, with their numbers: every picture once in each pass over the data."""
    first, last = config.noise
    number = 0
    while number < total:
        rng = np.random.default_rng((config.seed, 77, number))
        noise = first + (last - first) * number / total
        for members in groups(material.near, config.group, noise, rng)[:per_pass]:
            if number < total and number >= step:
                yield number, members
            number += 1


def _best(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The best validation: finding the right picture and calling pairs by their name count the same."""
    return max(history, key=lambda record: record["top1"] + record["accuracy"])
