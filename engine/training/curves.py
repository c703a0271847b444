"""TensorBoard curves of a training, readable while it runs: ``tensorboard --logdir RUN/tensorboard``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from engine.errors import InputError
from engine.training.trainee import Trainee

FOLDER = "tensorboard"


class Curves:
    """Writes every finished row of the log of every trainee, one TensorBoard run per SAE.

    Raises
    ------
    InputError
        If the package tensorboard is not installed.
    """

    def __init__(self, out: Path, trainees: Sequence[Trainee]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError(
                "--tensorboard needs the package tensorboard: pip install 'atomscope[tensorboard]', or leave it out."
            ) from None
        self._trainees = trainees
        # A training that goes on writes over the curves of the steps it repeats.
        self._writers = [
            SummaryWriter(str(out / FOLDER / trainee.name), purge_step=_next_step(trainee), flush_secs=10)
            for trainee in trainees
        ]

    def write(self) -> None:
        """Add the newest row of every log."""
        for trainee, writer in zip(self._trainees, self._writers, strict=True):
            row = trainee.log[-1]
            for key, value in row.items():
                if key != "step" and not math.isnan(value):
                    writer.add_scalar(key, value, int(row["step"]))

    def close(self) -> None:
        """Write the buffered rows and close the files."""
        for writer in self._writers:
            writer.close()


def _next_step(trainee: Trainee) -> int | None:
    return int(trainee.log[-1]["step"]) + 1 if trainee.log else None
