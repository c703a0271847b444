"""What all scorers of a pool share: batches, finished records kept for reuse, and failures that affect one candidate only."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from engine.lru_cache import LRUCache
from engine.retrieval.fine.candidates import CandidateView, batches, digest, failed_record
from engine.retrieval.search.events import CandidateFailed, CandidateScored, FineRecord, Mode, PoolEntry
from engine.retrieval.search.query import Query, SearchOptions
from engine.retrieval.search.ranking import Prior

T = TypeVar("T")

Scored = tuple[FineRecord, FineRecord | None]
"""A candidate's record and, where visual enhancement was asked for, the one without it."""

_RECORD = 4096
"""Bytes a finished record is taken to need."""
_RECORDS = 2**26


class Scorer(Protocol):
    """What reads query and candidates: a ``FineScorer`` or a trained ``Reranker``.

    Attributes
    ----------
    identity : dict
        Name, revision, architecture, note, dtype, device: JSON-ready.
    default_mode : str
        Used when a search names no mode.
    prior : Prior
        What a coarse cosine is worth in mode "posterior".
    pictures : int
        How many pictures it reads together; 0 for texts only.
    enhancement_fault : str
        Why visual enhancement cannot be had, in one sentence; "" when it can.
    """

    identity: dict[str, Any]
    default_mode: Mode
    prior: Prior
    pictures: int
    enhancement_fault: str

    def score(
        self,
        query: Query,
        candidates: Sequence[CandidateView],
        options: SearchOptions,
        cancelled: Callable[[], bool] = ...,
    ) -> Iterator[CandidateScored | CandidateFailed]:
        """One event per candidate, as soon as it is known."""

    def clear(self) -> None:
        """Forget what earlier searches left in memory."""


@dataclass(frozen=True)
class ScorerQuery:
    """One query with its options, as a scorer receives them; ``digest`` is the id of the query's picture."""

    query: Query
    mode: Mode
    options: SearchOptions
    digest: str

    @property
    def together(self) -> bool:
        """Whether the candidates are read in one prompt, so that none has a score of its own."""
        return self.mode == "listwise"

    def key(self, view: CandidateView) -> Any:
        """The key under which a finished record is kept; None when the candidate's picture has no key."""
        if self.together or (view.image is not None and not view.key):
            return None
        options = (self.options.view, self.options.enhancement, self.options.trace)
        prior = view.entry.score if self.mode == "posterior" else None  # the one mode in which the cosine counts
        return (self.query.text, self.digest, view.key, view.text, self.mode, prior, options)


class PoolScorer(ABC, Generic[T]):
    """Base of the scorers. ``T`` is a candidate made ready for the model.

    One scorer belongs to one model and is shared by all who search; a lock is held while a batch is read and never between
    batches, so two searches take turns.
    """

    def __init__(self) -> None:
        self._finished: LRUCache[Any, Scored] = LRUCache(_RECORDS)
        self._lock = threading.Lock()

    def score(
        self,
        query: Query,
        candidates: Sequence[CandidateView],
        options: SearchOptions,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[CandidateScored | CandidateFailed]:
        """Read the candidates, in the order given; yields every batch as soon as it is done.

        The first batch is a single candidate, so that a first result is there soon. A candidate that cannot be read or
        scored becomes a ``CandidateFailed`` and costs the others nothing. ``cancelled`` is asked between batches.

        Raises
        ------
        InputError
            If the options ask for what this model cannot do.
        """
        search = ScorerQuery(query, self._mode(options), options, digest(query.image))
        for batch in [candidates] if search.together else batches(candidates, max(1, options.batch)):
            if cancelled():
                return
            with self._lock:
                events = self._batch(search, batch)
            yield from events

    def clear(self) -> None:
        """Forget the finished records."""
        with self._lock:
            self._finished.clear()

    @abstractmethod
    def _mode(self, options: SearchOptions) -> Mode:
        """The mode a search is read in. Raises ``InputError`` if the options ask for what the model cannot do."""

    @abstractmethod
    def _task(self, search: ScorerQuery, view: CandidateView) -> T:
        """A candidate made ready; whatever it raises becomes that candidate's failure."""

    @abstractmethod
    def _scored(self, search: ScorerQuery, views: Sequence[CandidateView], tasks: Sequence[T]) -> Sequence[Scored]:
        """The records of several candidates, read together."""

    def _batch(self, search: ScorerQuery, batch: Sequence[CandidateView]) -> list[CandidateScored | CandidateFailed]:
        done: dict[int, CandidateScored | CandidateFailed] = {}
        fresh: list[tuple[int, T]] = []
        start = time.perf_counter()
        for place, view in enumerate(batch):
            key = search.key(view)
            if key is not None and (kept := self._finished.get(key)) is not None:
                done[place] = _again(view.entry, *kept, (time.perf_counter() - start) * 1000)
                continue
            try:
                fresh.append((place, self._task(search, view)))
            except Exception as error:
                done[place] = failed_record(view.entry, search.mode, error, start)
        for place, event in self._read(search, batch, fresh):
            done[place] = event
            if isinstance(event, CandidateScored) and (key := search.key(batch[place])) is not None:
                self._finished.put(key, (event.record, event.plain), _RECORD)
        return [done[place] for place in range(len(batch))]

    def _read(
        self, search: ScorerQuery, batch: Sequence[CandidateView], fresh: Sequence[tuple[int, T]]
    ) -> Iterator[tuple[int, CandidateScored | CandidateFailed]]:
        """Score tasks together; if that fails, one by one, so that one of them does not take the others along."""
        if not fresh:
            return
        start = time.perf_counter()
        views = [batch[place] for place, _ in fresh]
        try:
            scored = self._scored(search, views, [task for _, task in fresh])
        except Exception as error:
            if len(fresh) > 1 and not search.together:
                for one in fresh:
                    yield from self._read(search, batch, [one])
                return
            for place, _ in fresh:
                yield place, failed_record(batch[place].entry, search.mode, error, start)
            return
        share = (time.perf_counter() - start) * 1000 / len(fresh)
        for (place, _), (record, plain) in zip(fresh, scored, strict=True):
            both = replace(plain, milliseconds=share) if plain else None
            yield place, CandidateScored(replace(record, milliseconds=share), both)


def _again(entry: PoolEntry, record: FineRecord, plain: FineRecord | None, took: float) -> CandidateScored:
    """A kept record under the rank its candidate has now."""
    changes: dict[str, Any] = {"entry": entry, "cache": "score", "milliseconds": took}
    return CandidateScored(replace(record, **changes), replace(plain, **changes) if plain else None)
