"""A least-recently-used cache, bounded by a count or by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """At most ``limit`` values by key (or bytes, where sizes are given); the least recently used goes first.

    Not thread-safe: its owner holds a lock.

    Parameters
    ----------
    limit : int
        A value larger than that is not kept.
    lone : bool
        Keep even a value that is larger, alone, until the next one comes.
    dropped : callable, optional
        Called with every value that has to go for another one, or is replaced or forgotten.

    Attributes
    ----------
    used : int
        Sum of the sizes of what is kept.
    """

    def __init__(self, limit: int, lone: bool = False, dropped: Callable[[V], object] | None = None) -> None:
        self.limit = limit
        self.used = 0
        self._lone = lone
        self._dropped = dropped
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: K) -> bool:
        return key in self._kept

    def get(self, key: K) -> V | None:
        """The value under ``key``, which is then the most recently used; None when it is not there."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size: int = 1) -> None:
        """Keep ``value``, of ``size``, and drop the oldest ones until all fit."""
        self.drop(key)
        if size > self.limit and not self._lone:
            return
        self._kept[key] = (value, size)
        self.used += size
        while self.used > self.limit and len(self._kept) > 1:
            self.drop(next(iter(self._kept)))

    def drop(self, key: K) -> None:
        """Forget one value; nothing happens when it is not there."""
        found = self._kept.pop(key, None)
        if found is not None:
            self.used -= found[1]
            if self._dropped is not None:
                self._dropped(found[0])

    def clear(self) -> None:
        """Forget everything."""
        while self._kept:
            self.drop(next(iter(self._kept)))
