"""The search itself: a coarse pool, a model that reads it, and an event for every step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from engine.corpus import UnreadableItem
from engine.errors import InputError
from engine.retrieval.coarse.collection import Collection
from engine.retrieval.coarse.pool import make_pool, wanted_parts
from engine.retrieval.fine.candidates import CandidateView
from engine.retrieval.fine.scorer import Scorer
from engine.retrieval.search.events import (
    CandidateFailed,
    CandidateScored,
    Done,
    Event,
    FineRecord,
    FineSkipped,
    PoolEntry,
    PoolReady,
    Started,
    StoppedEarly,
)
from engine.retrieval.search.query import Query, SearchOptions
from engine.retrieval.search.ranking import final_order, lead


class Retriever:
    """A collection and, where there is one, a model that reads its candidates. Several threads may search."""

    def __init__(self, collection: Collection, scorer: Scorer | None) -> None:
        self.collection = collection
        self.scorer = scorer

    def search(
        self, query: Query, options: SearchOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Event]:
        """Run one search; see ``events`` for what comes in which order.

        ``cancelled`` is asked between candidates. A candidate that fails never costs the others; when the scorer itself
        breaks, those it had not reached are marked failed and ranked by their coarse score.

        Raises
        ------
        InputError
            If the embedder cannot embed the query, the gallery is empty, or the scorer cannot do what the options ask.
        """
        began = time.perf_counter()
        models = {
            "embedder": self.collection.embedder.identity,
            "mllm": self.scorer.identity if self.scorer is not None else None,
            "corpus": self.collection.describe(),
        }
        yield Started(models, asdict(options))
        ready = make_pool(self.collection, query, options)
        yield ready
        fine_began = time.perf_counter()
        records: list[FineRecord] = []
        stopped = cancelled()
        if not stopped:
            if reason := self._skip(ready, options):
                yield FineSkipped(reason)
            else:
                for event in self._fine(query, ready.entries, options, cancelled):
                    if isinstance(event, CandidateScored | CandidateFailed):
                        records.append(event.record)
                    yield event
                stopped = cancelled()
        order, ranked, tie = final_order(ready.entries, records, options.tie_rule)
        if tie is not None:
            yield tie
        now = time.perf_counter()
        seconds = {"coarse": ready.seconds, "fine": now - fine_began, "all": now - began}
        yield Done(order, ranked, seconds, cancelled=stopped)

    def candidate(self, entry: PoolEntry, part: str) -> CandidateView:
        """What the model reads of a candidate: its "image", its "text", or "both". Raises ``UnreadableItem``."""
        collection = self.collection
        seen = part != "text" and collection.has_image(entry.item)
        return CandidateView(
            entry=entry,
            key=collection.cache_key(entry.item) if seen else "",
            image=(lambda: collection.image(entry.item)) if seen else None,
            text=collection.text(entry.item) if part != "image" or not seen else "",
        )

    def _wanted(self, query: Query, options: SearchOptions) -> tuple[str, ...]:
        """What the model is to read of the candidates, the most wanted first.

        A model that reads one picture per prompt is given captions where the query brings a picture, unless asked otherwise.
        """
        one = self.scorer is not None and self.scorer.pictures == 1
        if options.view == "auto" and query.image is not None and one:
            return ("text", "image")
        return wanted_parts(query, options.view)

    def _skip(self, ready: PoolReady, options: SearchOptions) -> str:
        """Why the fine stage is left out, "" if it is not."""
        if not options.fine:
            return "The fine stage is switched off."
        if self.scorer is None:
            return "There is no multimodal model to read the candidates."
        if options.skip_margin is not None and len(ready.entries) > 1:
            margin = ready.entries[0].score - ready.entries[1].score
            if margin >= options.skip_margin:
                return (
                    f"The first candidate's cosine leads by {margin:.3f}, at least the margin of {options.skip_margin:g}: "
                    "the coarse order stands."
                )
        return ""

    def _fine(
        self, query: Query, entries: Sequence[PoolEntry], options: SearchOptions, cancelled: Callable[[], bool]
    ) -> Iterator[CandidateScored | CandidateFailed | StoppedEarly]:
        assert self.scorer is not None
        waiting = {entry.item: entry for entry in entries}
        records: list[FineRecord] = []
        fault = "The model gave no answer for it."
        part = self.collection.part(self._wanted(query, options), self.collection.rows(options.split))
        views = []
        for entry in entries:
            try:
                views.append(self.candidate(entry, part))
            except UnreadableItem as error:
                del waiting[entry.item]
                yield _failed(entry, options, str(error))
        try:
            for event in self.scorer.score(query, views, options, cancelled):
                waiting.pop(event.record.entry.item, None)
                records.append(event.record)
                yield event
                if cancelled():
                    return
                ahead = lead(records) if options.stop_lead is not None else None
                if ahead is not None and options.stop_lead is not None and ahead >= options.stop_lead and waiting:
                    yield StoppedEarly(
                        f"The best score leads by {ahead:.3g}, at least {options.stop_lead:g}: {len(waiting)} of "
                        f"{len(entries)} candidates are not read."
                    )
                    return
        except InputError:
            raise
        except Exception as error:  # whatever breaks inside a model must not cost what was already scored
            fault = f"The model broke: {' '.join(str(error).split()) or type(error).__name__}"
        if not cancelled():
            for entry in waiting.values():
                yield _failed(entry, options, fault)


def _failed(entry: PoolEntry, options: SearchOptions, fault: str) -> CandidateFailed:
    return CandidateFailed(FineRecord(entry, None, options.mode or "log-odds", error=fault))
