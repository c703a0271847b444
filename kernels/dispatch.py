"""Which backend computes what. The order comes from measurements: ``tests/bench/kernels.py`` prints them.

On a CPU the numba rows run within a few times one read of the scores, the torch operations some ten times slower; on a
GPU the Triton kernels; float64 goes to the reference, the only backend that computes in it.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from typing import Literal, get_args

import torch

Backend = Literal["auto", "reference", "torch", "numba", "triton"]
Chosen = Literal["reference", "torch", "numba", "triton"]


def choose_backend(backend: Backend, device: torch.device, dtype: torch.dtype) -> Chosen:
    """The backend that runs: the one asked for, or the quickest available for ``device`` and ``dtype``.

    Raises
    ------
    ValueError
        If the backend is unknown or cannot run there.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"There is no backend {backend!r}; choose one of {', '.join(get_args(Backend))}.")
    if backend == "auto":
        if dtype == torch.float64:
            return "reference"
        if device.type == "cuda" and installed("triton"):
            return "triton"
        return "numba" if device.type == "cpu" and installed("numba") else "torch"
    if backend != "reference" and dtype == torch.float64:
        raise ValueError(f"The {backend} backend computes in float32; pass float32 scores or use 'reference'.")
    if backend == "numba" and device.type != "cpu":
        raise ValueError(f"The numba backend runs on the CPU and the scores are on {device}; use 'auto'.")
    if backend in ("numba", "triton") and not installed(backend):
        raise ValueError(f"The {backend} backend needs the package {backend}, which is not installed; use 'auto'.")
    if backend == "triton" and device.type != "cuda" and not os.environ.get("TRITON_INTERPRET"):
        raise ValueError(f"The triton backend runs on a GPU and the scores are on {device}; use 'auto'.")
    return backend


@cache
def installed(package: str) -> bool:
    """Whether ``package`` can be imported, found out without importing it."""
    return find_spec(package) is not None
