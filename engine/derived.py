"""Values computed once from an object and shared: they are stored on the object itself and freed with it.

An atlas that was rewritten on disk is opened as a new object, so nothing that was worked out from the old one can be served
for it: no cache key has to name what a function reads of the object.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from engine.lru_cache import LRUCache

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")

MOST = 64
"""Values of one function that an object keeps: one for each combination of the other arguments."""

_ATTRIBUTE = "_derived_values"
_LOCK = threading.Lock()


class _Values:
    """The values of one function for one object, by its other arguments; the one used longest ago goes first."""

    def __init__(self, most: int) -> None:
        self._known: LRUCache[Hashable, tuple[Any]] = LRUCache(most)
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value under ``key``; the first of several threads makes it, the others wait for it."""
        with self._lock:
            if (known := self._known.get(key)) is not None:
                return known[0]
            making = self._locks.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if (known := self._known.get(key)) is not None:
                    return known[0]
            value = make()
            with self._lock:
                self._known.put(key, (value,))
                self._locks.pop(key, None)
            return value


@overload
def derived(make: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]: ...


@overload
def derived(*, most: int) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]: ...


def derived(make: Callable[..., Any] | None = None, *, most: int = MOST) -> Any:
    """Decorator: call a function once for each object (its first argument) and combination of other arguments.

    The value is shared by all threads and must not be written to. The other arguments must be hashable and, with the object,
    all that the function reads: what else it reads would be served stale.

    Parameters
    ----------
    most : values kept for one object; beyond that the one used longest ago is dropped
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def kept(subject: Any, *args: Any, **kwargs: Any) -> Any:
            with _LOCK:
                tables = vars(subject).setdefault(_ATTRIBUTE, {})
                values = tables.setdefault(function, _Values(most))
            key = (args, tuple(sorted(kwargs.items())))
            return values.get(key, lambda: function(subject, *args, **kwargs))

        return kept

    return decorate if make is None else decorate(make)
