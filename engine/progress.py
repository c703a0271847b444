"""How long work reports its progress: a stage, a count, a total, a rate and an ETA, sent to a listener."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Receives the progress of one long piece of work."""

    def start(self, stage: str, total: int | None, unit: str = "items") -> None:
        """A stage begins; ``total`` is None when it is unknown."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """``count`` more units are done; ``note`` is a short live figure, such as a loss."""

    def finish(self, note: str = "") -> None:
        """The stage is over."""

    def warn(self, message: str) -> None:
        """Something was skipped or looks wrong, and the work goes on."""


class SilentProgress:
    """A Progress that says nothing; warnings are collected in ``warnings``."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def start(self, stage: str, total: int | None, unit: str = "items") -> None:
        pass

    def advance(self, count: int = 1, note: str = "") -> None:
        pass

    def finish(self, note: str = "") -> None:
        pass

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def track(items: Iterable[T], progress: Progress, stage: str, total: int | None, unit: str = "items") -> Iterator[T]:
    """Iterate over ``items`` and advance ``progress`` by one after each."""
    progress.start(stage, total, unit)
    for item in items:
        yield item
        progress.advance()
    progress.finish()


class Rate:
    """Throughput and remaining time from counts, ignoring the time before the first count (imports, warm-up)."""

    def __init__(self, total: int | None) -> None:
        self.total = total
        self.done = 0
        self._first: tuple[float, int] | None = None

    def add(self, count: int) -> None:
        """``count`` more units are done."""
        self.done += count
        if self._first is None:
            self._first = (time.monotonic(), self.done)

    @property
    def per_second(self) -> float | None:
        """Units per second since the first count, or None when too little is known."""
        if self._first is None:
            return None
        elapsed = time.monotonic() - self._first[0]
        done = self.done - self._first[1]
        return done / elapsed if elapsed > 0 and done > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds to the end, or None when unknown."""
        rate = self.per_second
        return (self.total - self.done) / rate if rate and self.total is not None else None
