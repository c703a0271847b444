"""The event stream of a search as one state: what it has given so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

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
    TieResolved,
)
from engine.retrieval.search.ranking import final_order, is_scored

LOW_MASS = 0.5
"""Label mass below which the score says little: most of the model's probability went to other words than the answers."""

Status = Literal["waiting", "scored", "failed", "unread"]


@dataclass(frozen=True)
class PoolRow:
    """One candidate of the pool.

    Attributes
    ----------
    entry : PoolEntry
        Its place in the coarse pool.
    status : str
        "waiting" to be read, "scored", "failed", or "unread" for good (skipped, stopped or cancelled).
    record : FineRecord or None
        The reading that counts (with enhancement, when that is on).
    plain : FineRecord or None
        The reading without enhancement, when both were made.
    place : int
        Place in the order so far, from 1.
    """

    entry: PoolEntry
    status: Status
    record: FineRecord | None
    plain: FineRecord | None
    place: int

    @property
    def score(self) -> float | None:
        """Fine score, None while there is none."""
        return self.record.score if self.record is not None else None

    @property
    def low_mass(self) -> bool:
        """Whether the model hardly considered the answers it was offered."""
        mass = self.record.label_mass if self.record is not None else None
        return mass is not None and mass < LOW_MASS


@dataclass(frozen=True)
class PoolSize:
    """What a pool of ``k`` would have given: who is first, and where the answer stands (None: not in the pool)."""

    k: int
    first: int
    answer: int | None


@dataclass(frozen=True)
class Outcome:
    """The state of a search.

    Attributes
    ----------
    started, pool, tie, skipped, stopped, done : event or None
        The events that come at most once.
    rows : list of PoolRow
        The pool by coarse rank.
    """

    started: Started | None = None
    pool: PoolReady | None = None
    tie: TieResolved | None = None
    skipped: FineSkipped | None = None
    stopped: StoppedEarly | None = None
    done: Done | None = None
    rows: list[PoolRow] = field(default_factory=list)

    @property
    def final(self) -> list[PoolRow]:
        """The pool by place: the order so far, the last one when the search is over."""
        return sorted(self.rows, key=lambda row: row.place)

    @property
    def read(self) -> int:
        """Candidates that were scored or failed."""
        return sum(row.status in ("scored", "failed") for row in self.rows)

    @property
    def scored(self) -> list[PoolRow]:
        """Candidates with a fine score, by coarse rank."""
        return [row for row in self.rows if row.status == "scored"]

    @property
    def mode(self) -> str:
        """Score mode of the records, "" before the first."""
        return next((row.record.mode for row in self.rows if row.record is not None), "")

    def place_of(self, item: int | None) -> int | None:
        """Place of an item in the order so far, None if it is not in the pool."""
        return next((row.place for row in self.rows if row.entry.item == item), None)

    def chosen(self, item: int | None) -> PoolRow | None:
        """The scored candidate that is corpus row ``item``, else the first of the order that was scored."""
        scored = [row for row in self.final if row.status == "scored"]
        return next((row for row in scored if row.entry.item == item), scored[0] if scored else None)

    def pool_sizes(self, answer: int | None, tie_rule: bool = True) -> list[PoolSize]:
        """The result for every pool size up to the one searched, from the scores there are: no new reading.

        Only as far as every candidate was read (or failed): a pool that was not read to its end has no result.
        """
        sizes: list[PoolSize] = []
        for k in range(1, len(self.rows) + 1):
            pool = self.rows[:k]
            if pool[-1].status not in ("scored", "failed"):
                break
            records = [row.record for row in pool if row.record is not None]
            order, _, _ = final_order([row.entry for row in pool], records, tie_rule)
            sizes.append(PoolSize(k, order[0], order.index(answer) + 1 if answer in order else None))
        return sizes


def outcome_of(events: Sequence[Event]) -> Outcome:
    """The state after these events."""
    once: dict[type, Event] = {}
    records: dict[int, FineRecord] = {}
    plain: dict[int, FineRecord | None] = {}
    failed: set[int] = set()
    for event in events:
        if isinstance(event, (CandidateScored, CandidateFailed)):
            item = event.record.entry.item
            records[item] = event.record
            if isinstance(event, CandidateScored):
                plain[item] = event.plain
            else:
                failed.add(item)
        else:
            once[type(event)] = event
    pool, done = once.get(PoolReady), once.get(Done)
    tie = once.get(TieResolved)
    over = done is not None or FineSkipped in once or StoppedEarly in once
    assert pool is None or isinstance(pool, PoolReady)
    assert done is None or isinstance(done, Done)
    assert tie is None or isinstance(tie, TieResolved)
    rows = []
    entries = pool.entries if pool is not None else []
    order = done.order if done is not None else final_order(entries, list(records.values()))[0]
    places = {item: place for place, item in enumerate(order, 1)}
    for entry in entries:
        record = records.get(entry.item)
        status: Status = "unread" if over else "waiting"
        if record is not None:
            status = "scored" if entry.item not in failed and is_scored(record) else "failed"
        rows.append(PoolRow(entry, status, record, plain.get(entry.item), places.get(entry.item, len(entries))))
    return Outcome(
        once.get(Started),  # type: ignore[arg-type]
        pool,
        tie,
        once.get(FineSkipped),  # type: ignore[arg-type]
        once.get(StoppedEarly),  # type: ignore[arg-type]
        done,
        rows,
    )


@dataclass(frozen=True)
class ReadingProgress:
    """How far the reading is: ``done`` of ``total`` and the seconds left (None: not known yet)."""

    done: int
    total: int
    seconds: float | None


def waiting(outcome: Outcome, times: Sequence[float], events: Sequence[Event], now: float) -> ReadingProgress:
    """Progress of the fine stage.

    Parameters
    ----------
    times : seconds after the beginning at which each of ``events`` came
    now : seconds since the beginning
    """
    done, total = outcome.read, len(outcome.rows)
    # The last of them: a pool may be shown once more when the model that reads it had to be loaded first.
    begun = [time for time, event in zip(times, events, strict=False) if isinstance(event, PoolReady)][-1:]
    if not done or not begun or done >= total:
        return ReadingProgress(done, total, None)
    rate = done / max(now - begun[0], 1e-6)
    return ReadingProgress(done, total, (total - done) / rate)
