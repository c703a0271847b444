"""Run by the tests under torchrun: several architectures, each trained by both processes together.

Arguments: the activation store, the folder of the runs, what is split (tokens or dictionary), and after how many steps the
first process stops, where it is to stop early.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from engine.activations import ActivationStore
from engine.distributed import end_process, joined
from engine.progress import SilentProgress
from engine.sae import parse_config
from engine.training import TrainConfig, train

BOTH = [
    "sparsemax:scale=2",
    "sparsemax:values=probability,learn_scale=true,loss=nmse",
    "topk:k=3,dead_after=60,aux_k=4",
]
SAES = {
    "tokens": [
        *BOTH,
        "sparsemax:gate=frequency,gate_above=0.3",
        "relu:target_l0=4,penalty_warmup=2",
        "gated",
        "jumprelu:target_l0=4,penalty_warmup=2",
    ],
    "dictionary": [*BOTH, "topk:k=5,relu=true"],
}


class Stopped(Exception):
    """The training was stopped on purpose."""


class StopAfter(SilentProgress):
    """Stops the process that reports its progress after a number of steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count > 0
        if self.left == 0:
            raise Stopped


def run(store: Path, out: Path, split: str, steps: int | None = None) -> None:
    """Train one SAE of every kind on 7 batches, the last of which is odd."""
    torch.set_num_threads(1)
    options = TrainConfig(
        tokens=6 * 33 + 17,
        batch_tokens=33,
        lr=3e-3,
        warmup_steps=0,
        init_tokens=96,
        device="cpu",
        checkpoint_minutes=5.0 if steps is None else 1e-9,
    )
    opened = ActivationStore.open(store)
    configs = [parse_config(text, opened.d_model, 40, normalise="standardise") for text in SAES[split]]
    with joined() as group:
        progress = SilentProgress() if steps is None else StopAfter(steps)
        train(configs, opened, out, options, progress, group=group, split=split)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
    end_process(0)
