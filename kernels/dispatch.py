"""Which backend computes what. The order comes from measurements: ``tests/bench/kernels.py`` prints them.

On a CPU the numba rows run within a few times one read of the scores, the torch operations some ten times slower; on a
GPU the Triton kernels; float64 goes to the reference, the only backend that computes in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Literal, TypeVar, get_args

import torch

Backend = Literal["auto", "reference", "torch", "numba", "triton"]
Chosen = Literal["reference", "torch", "numba", "triton"]
T = TypeVar("T")


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


# One pool a process: a forked child inherits the object without its threads, and waiting on it would never end.
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def over_rows(function: Callable[[int, int], T], n_rows: int, smallest: int = 32) -> list[T]:
    """``function(start, stop)`` over consecutive row ranges, on as many threads as torch uses; results in order.

    For compiled functions that release the GIL. Plain threads rather than numba's own parallel loops: those abort the
    whole process when two threads enter them at once, and a dashboard has many threads.
    """
    threads = torch.get_num_threads()
    # Four ranges a thread: rows differ in cost, and a thread that is early takes the next range.
    step = max(smallest, -(-n_rows // (4 * threads)))
    ranges = [(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]
    if threads == 1 or len(ranges) <= 1:
        return [function(start, stop) for start, stop in ranges]
    key = (os.getpid(), threads)
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="kernels")
    return list(_pools[key].map(lambda bounds: function(*bounds), ranges))
