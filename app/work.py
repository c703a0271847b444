"""One bounded queue for all inference of the server: pages hand in jobs, one worker thread runs them one after another.

Two searches at once on the same cores would both take twice as long and need twice the memory for activations. So the
second waits, is told how many are ahead of it, and loses nothing.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from engine.errors import AtomscopeError

log = logging.getLogger("atomscope")

WAITING = 16
"""Jobs that may wait; one more is refused with a sentence."""

ABANDONED = 60.0
"""Seconds after which a job that no page looks at any more is stopped (a tab was closed, a person went elsewhere)."""

State = Literal["waiting", "running", "done", "failed", "cancelled"]
T = TypeVar("T")


class Job(Generic[T]):
    """One piece of inference: what it has yielded so far, how it goes, and a flag to stop it.

    It is also the ``Progress`` that loading reports to. The worker writes, pages read; what is read is a snapshot.
    """

    def __init__(self, run: Callable[[Job[T]], None], most: int = 1_000) -> None:
        self.state: State = "waiting"
        self.error = ""
        self.warnings: list[str] = []
        self.stage = ""
        self.count = 0
        self.total: int | None = None
        self.unit = ""
        self.asked = time.monotonic()
        self.began: float | None = None
        self.ended: float | None = None
        self._run = run
        self._most = most
        self._events: list[T] = []
        self._times: list[float] = []
        self._seen = time.monotonic()
        self._stop = threading.Event()

    # What a page reads.

    @property
    def events(self) -> list[T]:
        """What it has yielded so far; reading it tells the job that somebody looks."""
        self._seen = time.monotonic()
        return list(self._events)

    @property
    def times(self) -> list[float]:
        """When each of ``events`` came, seconds after the job began."""
        return list(self._times)

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")

    def cancel(self) -> None:
        """Ask it to stop; what it has yielded stays."""
        self._stop.set()
        if self.state == "waiting":
            self.state = "cancelled"

    # What the work calls.

    def emit(self, event: T) -> None:
        """Add one event."""
        if len(self._events) < self._most:
            self._times.append(time.monotonic() - (self.began or self.asked))
            self._events.append(event)

    def cancelled(self) -> bool:
        """Whether to stop: the person said so, or nobody has looked for ``ABANDONED`` seconds."""
        return self._stop.is_set() or time.monotonic() - self._seen > ABANDONED

    def abandon(self) -> bool:
        """Whether it is to be dropped from the queue; if so it counts as cancelled."""
        if self.state == "waiting" and self.cancelled():
            self.cancel()
        return self.state == "cancelled"

    def start(self, stage: str, total: int | None, unit: str = "items") -> None:
        """Progress: a stage of loading begins."""
        self.stage, self.count, self.total, self.unit = stage, 0, total, unit

    def advance(self, count: int = 1, note: str = "") -> None:
        """Progress: ``count`` more units are done."""
        self.count += count

    def finish(self, note: str = "") -> None:
        """Progress: the stage is over."""
        self.stage = ""

    def warn(self, message: str) -> None:
        """Progress: something was skipped."""
        if message not in self.warnings and len(self.warnings) < 20:
            self.warnings.append(message)

    def run(self) -> None:
        """Do the work in this thread; whatever goes wrong ends as one sentence in ``error``."""
        if self.cancelled():
            self.state = "cancelled"
            return
        self.began = time.monotonic()
        self.state = "running"
        state: State = "done"
        try:
            self._run(self)
            state = "cancelled" if self._stop.is_set() else "done"
        except AtomscopeError as error:
            state, self.error = "failed", str(error)
        except MemoryError:
            state, self.error = "failed", "There is not enough memory for this. Choose a smaller pool or model."
        except Exception as error:
            number = secrets.token_hex(3)
            log.error("a search failed, error %s", number, exc_info=error)
            state, self.error = (
                "failed",
                f"This could not be finished (error {number}); the server's log says why.",
            )
        self.stage = ""
        self.ended = time.monotonic()
        self.state = state  # last: who sees it sees all the rest


class Queue:
    """First come, first served, one at a time."""

    def __init__(self, waiting: int = WAITING) -> None:
        self._most = waiting
        self._waiting: deque[Job[Any]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, job: Job[Any]) -> None:
        """Hand in a job.

        Raises
        ------
        AtomscopeError
            If too many wait already.
        """
        with self._changed:
            self._waiting = deque(other for other in self._waiting if not other.abandon())
            if len(self._waiting) >= self._most:
                raise AtomscopeError(f"{self._most} searches wait already. Try again in a moment.")
            self._waiting.append(job)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="retrieval", daemon=True)
                self._thread.start()
            self._changed.notify()

    def ahead(self, job: Job[Any]) -> int:
        """How many jobs run or wait before this one."""
        with self._changed:
            waiting = list(self._waiting)
        return waiting.index(job) + 1 if job in waiting else 0

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                job = self._waiting.popleft()
            job.run()
            del job  # a finished job lives as long as the session that asked for it, not until the next one comes


queue = Queue()
