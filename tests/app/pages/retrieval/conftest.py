"""A recorded stream of a search, and the corpus it is shown with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from app.opened import corpora, models
from app.pages.retrieval import worker
from app.pages.retrieval.request import Request
from app.pages.retrieval.step_context import StepContext
from engine.atlas import Atlas
from engine.errors import InputError
from engine.retrieval.search.events import (
    CandidateFailed,
    CandidateScored,
    Done,
    Event,
    FineRecord,
    PoolEntry,
    PoolReady,
    Started,
    TokenChance,
)
from engine.retrieval.search.ranking import final_order

ATTACK = "<img src=x onerror=alert(1)> 'quoted'"
"""The caption of the second candidate."""

Stream = Callable[..., list[Event]]


@pytest.fixture
def stream() -> Stream:
    """``stream(scores, entropies=None, answer_rank=None, gallery=40)``: a whole search; a score of None is a failure."""

    def make(
        scores: list[float | None],
        entropies: list[float] | None = None,
        answer_rank: int | None = None,
        gallery: int = 40,
        mass: float = 0.97,
    ) -> list[Event]:
        entries = [PoolEntry(10 + i, f"animals/{i}.png", i + 1, 0.5 - 0.05 * i) for i in range(len(scores))]
        known = entropies or [0.3] * len(scores)
        records = [_record(e, s, h, mass) for e, s, h in zip(entries, scores, known, strict=True)]
        cosines = [e.score for e in entries] + [0.1 - 0.001 * i for i in range(gallery - len(entries))]
        order, ranked, tie = final_order(entries, records)
        models = {
            "embedder": {"name": "e"},
            "mllm": {"name": "m", "note": "small"},
            "corpus": {"name": "c", "items": gallery},
        }
        events: list[Event] = [
            Started(models, {}),
            PoolReady(entries, 0.02, cosines, gallery, answer_rank),
        ]
        events += [CandidateFailed(r) if r.score is None else CandidateScored(r) for r in records]
        events += [tie] if tie is not None else []
        return [*events, Done(order, ranked, {"coarse": 0.02, "fine": 1.0, "all": 1.1})]

    return make


@pytest.fixture
def context() -> StepContext:
    """Thirty items; the query is known to ask for the second candidate of a ``stream``."""
    captions = [f"caption {row}" for row in range(30)]
    captions[11] = ATTACK
    items = pd.DataFrame({"id": [f"a/{r}" for r in range(30)], "caption": captions, "kind": ["image"] * 30})
    return StepContext("0" * 12, items, Request(text="x", k=3), 11, "")


def _record(entry: PoolEntry, score: float | None, entropy: float, mass: float) -> FineRecord:
    if score is None:
        return FineRecord(entry, None, "log-odds", error="animals/1.png is missing.")
    return FineRecord(
        entry,
        score,
        "log-odds",
        p_true=0.8 * mass,
        p_false=0.2 * mass,
        label_mass=mass,
        entropy=entropy,
        top_tokens=[TokenChance("True", 0.8 * mass), TokenChance("\n<b>", 0.01)],
        prompt="<image x 49>Does it match? <script>",
        prompt_tokens=61,
        layer_entropy=[0.9, 0.8, 0.4],
        milliseconds=210.0,
        cache="image",
    )


@pytest.fixture
def asked(
    shown: Atlas, offered: corpora.CorpusEntry, stream: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> list[Request]:
    """The searches that were made; each is answered at once with a recorded stream over the four pictures."""
    made: list[Request] = []

    def search(job: Any, request: Request, **known: Any) -> None:
        made.append(request)
        if "fails" in request.text:
            raise InputError("This folder is no multimodal model.")
        for event in stream([0.5, 2.0, None], gallery=4):
            job.emit(_moved(event))

    monkeypatch.setattr(worker, "search", search)
    monkeypatch.setattr(models, "missing_weights", lambda stage: [])
    return made


def _moved(event: Any) -> Any:
    """The stream's items 10, 11, 12 as rows 0, 1, 2 of the small corpus."""
    move = lambda entry: replace(entry, item=entry.item - 10)  # noqa: E731
    if hasattr(event, "entries"):
        return replace(event, entries=[move(entry) for entry in event.entries])
    if hasattr(event, "record"):
        return replace(event, record=replace(event.record, entry=move(event.record.entry)))
    if hasattr(event, "order"):
        records = [replace(record, entry=move(record.entry)) for record in event.records]
        return replace(event, order=[item - 10 for item in event.order], records=records)
    return event
