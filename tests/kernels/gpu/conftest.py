"""The Triton kernels run on a GPU where there is one; elsewhere ``test_triton.py`` runs these files in the interpreter.

Triton decides at its import whether kernels are compiled or interpreted, so an interpreted run is a process of its own.
"""

from __future__ import annotations

import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

if not INTERPRETED and not torch.cuda.is_available():
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def device() -> torch.device:
    """Where the kernels run."""
    return torch.device("cpu" if INTERPRETED else "cuda")


@pytest.fixture
def real_size() -> bool:
    """Whether shapes of real size are affordable."""
    return not INTERPRETED
