"""The fine stage: a multimodal language model reads the query with every candidate of the pool, and says how well they fit.

One scorer belongs to one model and is shared by all who search; a lock is held while a batch is read and never between
batches, so two searches take turns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import AtomscopeError, InputError
from engine.retrieval.byte_cache import ByteCache
from engine.retrieval.candidates import CandidateView, batches, digest, failed, sides
from engine.retrieval.enhancement import LayerLens, fault
from engine.retrieval.events import CandidateFailed, CandidateScored, FineRecord, Mode, PoolEntry
from engine.retrieval.mllm import Mllm
from engine.retrieval.modes import SCORES, Task
from engine.retrieval.pictures import Picture
from engine.retrieval.prompts import state
from engine.retrieval.query import Query, SearchOptions
from engine.retrieval.reader import Reader
from engine.retrieval.rehearsal import rehearse

CACHE_BYTES = 2**30
_PICTURES = 0.25
"""Share of the cache for vision outputs; the rest holds keys and values, which are dearer in bytes and cheaper to redo."""
_RECORD = 4096
"""Bytes a finished record is taken to need."""
_RECORDS = 2**26


class FineScorer:
    """Scores candidates with one model.

    Parameters
    ----------
    mllm : Mllm
    cache_bytes : int
        Room for vision outputs and for keys and values.

    Attributes
    ----------
    identity : dict
        The model's: name, revision, architecture, note, dtype, device.
    default_mode : str
        Used when a search names no mode.
    prior : Prior
        What a coarse cosine is worth in mode "posterior".
    limits : list of str
        What of the caches this architecture does not allow, a sentence each.
    enhancement_fault : str
        Why visual enhancement cannot be had with this model, in one sentence; "" when it can.
    """

    def __init__(self, mllm: Mllm, cache_bytes: int = CACHE_BYTES) -> None:
        self.mllm = mllm
        self.identity: dict[str, Any] = mllm.identity
        self.default_mode: Mode = mllm.default_mode
        self.prior = mllm.prior
        self.enhancement_fault = fault(mllm)
        pictures = int(cache_bytes * _PICTURES)
        self._reader = Reader(mllm, pictures, cache_bytes - pictures)
        self._records: ByteCache[tuple[FineRecord, FineRecord | None]] = ByteCache(_RECORDS)
        self._lock = threading.Lock()
        self.limits = rehearse(self._reader)

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
        mode: Mode = options.mode or self.default_mode
        if options.enhancement is not None and self.enhancement_fault:
            raise InputError(self.enhancement_fault)
        if options.enhancement is not None:
            LayerLens(self.mllm, options.enhancement)  # values that make no sense are said at once
        search = _Search(query, mode, options, digest(query.image))
        for batch in [candidates] if mode == "listwise" else batches(candidates, max(1, options.batch)):
            if cancelled():
                return
            with self._lock:
                events = self._batch(search, batch)
            yield from events

    def clear(self) -> None:
        """Forget all that was kept: pictures, keys and values, records."""
        with self._lock:
            self._reader.clear()
            self._records.clear()

    def _batch(self, search: _Search, batch: Sequence[CandidateView]) -> list[CandidateScored | CandidateFailed]:
        done: dict[int, CandidateScored | CandidateFailed] = {}
        fresh: list[tuple[int, Task]] = []
        start = time.perf_counter()
        for place, view in enumerate(batch):
            kept = self._records.get(search.key(view)) if search.key(view) else None
            if kept is not None and search.mode != "listwise":
                took = (time.perf_counter() - start) * 1000
                done[place] = _again(view.entry, *kept, took)
                continue
            try:
                fresh.append((place, self._task(search, view)))
            except Exception as error:
                done[place] = failed(view.entry, search.mode, error, start)
        for place, event in self._read(search, fresh):
            done[place] = event
            if isinstance(event, CandidateScored) and (key := search.key(batch[place])):
                self._records.put(key, (event.record, event.plain), _RECORD)
        return [done[place] for place in range(len(batch))]

    def _read(
        self, search: _Search, fresh: Sequence[tuple[int, Task]]
    ) -> Iterator[tuple[int, CandidateScored | CandidateFailed]]:
        """Score tasks together; if that fails, one by one, so that one of them does not take the others along."""
        if not fresh:
            return
        start = time.perf_counter()
        tasks = [task for _, task in fresh]
        try:
            scored = self._scored(search, tasks)
        except Exception as error:
            if len(fresh) > 1 and search.mode != "listwise":
                for one in fresh:
                    yield from self._read(search, [one])
                return
            for place, task in fresh:
                yield place, failed(task.entry, search.mode, error, start)
            return
        share = (time.perf_counter() - start) * 1000 / len(fresh)
        for (place, _), (record, plain) in zip(fresh, scored, strict=True):
            both = replace(plain, milliseconds=share) if plain else None
            yield place, CandidateScored(replace(record, milliseconds=share), both)

    def _scored(self, search: _Search, tasks: Sequence[Task]) -> list[tuple[FineRecord, FineRecord | None]]:
        """The record of every task and, where enhancement was asked for, the one without it."""
        score, options = SCORES[search.mode], search.options
        if options.enhancement is None:
            lens = LayerLens(self.mllm) if options.trace and not self.enhancement_fault else None
            return [(record, None) for record in score(self._reader, tasks, lens)]
        acting = LayerLens(self.mllm, options.enhancement)
        records = score(self._reader, tasks, acting)
        if not acting.acted:  # not a bit was changed, so the plain reading would be the same
            return [(record, record) for record in records]
        return list(zip(records, score(self._reader, tasks, LayerLens(self.mllm)), strict=True))

    def _task(self, search: _Search, view: CandidateView) -> Task:
        statement = state(*sides(search.query, view, search.options.view))
        if len(statement.pictures) > self.mllm.pictures:
            raise AtomscopeError(
                f"{self.mllm.identity['name']} reads one picture at a time and cannot compare two; let it read the "
                "captions of the candidates (view 'text'), or use a model that reads several pictures."
            )
        pictures = [self._picture(search, view, whose) for whose in statement.pictures]
        return Task(view.entry, statement, tuple(pictures))

    def _picture(self, search: _Search, view: CandidateView, whose: str) -> Picture:
        if whose == "query":
            image = search.query.image
            assert image is not None  # a statement names the query's picture only if there is one
            return self._reader.shelf.get(f"query:{search.digest}", lambda: image)
        assert view.image is not None
        return self._reader.shelf.get(view.key and f"item:{view.key}", view.image)


@dataclass(frozen=True)
class _Search:
    """One query with its options, as the scorer sees them."""

    query: Query
    mode: Mode
    options: SearchOptions
    digest: str

    def key(self, view: CandidateView) -> Any:
        """Under what a finished record is found again; "" when the candidate's picture has no key."""
        if view.image is not None and not view.key:
            return ""
        options = (self.options.view, self.options.enhancement, self.options.trace)
        prior = view.entry.score if self.mode == "posterior" else None  # the one mode in which the cosine counts
        return (self.query.text, self.digest, view.key, view.text, self.mode, prior, options)


def _again(entry: PoolEntry, record: FineRecord, plain: FineRecord | None, took: float) -> CandidateScored:
    """A kept record under the rank its candidate has now."""
    changes: dict[str, Any] = {"entry": entry, "cache": "score", "milliseconds": took}
    return CandidateScored(replace(record, **changes), replace(plain, **changes) if plain else None)
