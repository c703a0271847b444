"""Running a piece of Python under torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def torchrun() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``torchrun(*arguments, processes=2)``: what follows ``torchrun --nproc-per-node 2``, on the CPU, one thread each."""

    def torchrun(*arguments: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
        return subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, cwd=ROOT)

    return torchrun
