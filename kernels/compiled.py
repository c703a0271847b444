"""How the CPU kernels are compiled and spread over threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def compiled(fastmath: set[str] | bool = False) -> Callable[[F], F]:
    """``numba.njit`` that releases the GIL and caches on disk where a folder for the cache can be written."""

    def decorate(function: F) -> F:
        try:
            return njit(nogil=True, fastmath=fastmath, cache=True)(function)
        except RuntimeError:  # numba found no writable place for its cache: compile in every process
            return njit(nogil=True, fastmath=fastmath)(function)

    return decorate


@compiled()
def copy_prefix(old: Any, used: int, new: Any) -> Any:
    """``new``, a longer array, with the first ``used`` values of ``old``."""
    new[:used] = old[:used]
    return new


# One pool per process: a forked child inherits the object without its threads, and waiting on it would never end.
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def parallel_over_rows(function: Callable[[int, int], T], n_rows: int, smallest: int = 32) -> list[T]:
    """Call ``function(start, stop)`` on consecutive row ranges, on as many threads as torch uses; results in order.

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
