"""A least-recently-used cache bounded by bytes: the pictures and key/value prefixes a model keeps at hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class ByteCache(Generic[T]):
    """Values under keys, of at most ``limit`` bytes together; the one used longest ago goes first.

    A value larger than the whole cache is not kept. Not thread-safe: its owner holds a lock.

    Attributes
    ----------
    limit, used : int
        Bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> T | None:
        """The value under ``key``, which is then the most recently used; None when it is not there."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: T, size: int) -> None:
        """Keep ``value``, of ``size`` bytes, and drop the oldest ones until all fit."""
        self.drop(key)
        if size > self.limit:
            return
        self._kept[key] = (value, size)
        self.used += size
        while self.used > self.limit:
            _, (_, dropped) = self._kept.popitem(last=False)
            self.used -= dropped

    def drop(self, key: Hashable) -> None:
        """Forget one value; nothing happens when it is not there."""
        found = self._kept.pop(key, None)
        if found is not None:
            self.used -= found[1]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.used = 0
