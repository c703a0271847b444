"""Run by the tests under torchrun: the second of two processes dies in the middle of a training, without a word.

Arguments: the activation store and the folder of the run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from engine.activations import ActivationStore
from engine.distributed import joined
from engine.errors import AtomscopeError
from engine.sae import TopKConfig
from engine.training import TrainConfig, train
from engine.training.trainee import Trainee

if __name__ == "__main__":
    torch.set_num_threads(1)
    steps, step = 0, Trainee.step

    def counted(self: Trainee, *arguments: Any) -> None:
        global steps
        steps += 1
        if steps == 8 and os.environ["RANK"] == "1":
            os._exit(9)
        step(self, *arguments)

    Trainee.step = counted  # type: ignore[method-assign, assignment]
    options = TrainConfig(tokens=400, batch_tokens=20, device="cpu", init_tokens=50, checkpoint_minutes=1e-9)
    try:
        with joined() as group:
            train(
                [TopKConfig(d_model=16, n_atoms=40, k=3)],
                ActivationStore.open(sys.argv[1]),
                Path(sys.argv[2]),
                options,
                group=group,
            )
        print("trained")
    except AtomscopeError as error:
        print(error, flush=True)
        sys.exit(1)
