"""The search as a stream of events: order, early stop, skip, cancellation, failures; and a real model at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.corpus import open_corpus
from engine.errors import InputError
from engine.retrieval.coarse.collection import Collection, open_collection
from engine.retrieval.search.events import (
    CandidateFailed,
    CandidateScored,
    Done,
    FineRecord,
    FineSkipped,
    PoolReady,
    Started,
    StoppedEarly,
    TieResolved,
)
from engine.retrieval.search.query import Query, SearchOptions
from engine.retrieval.search.retriever import Retriever


class Scripted:
    """A scorer that says what it is told: a score by item, "fail", or an exception to raise."""

    def __init__(self, script: dict[int, Any]) -> None:
        self.identity = {"name": "scripted", "revision": "1"}
        self.pictures = 8
        self.script = script
        self.views: list[Any] = []

    def score(
        self, query: Query, candidates: Sequence[Any], options: SearchOptions, cancelled: Callable[[], bool] = bool
    ) -> Iterator[CandidateScored | CandidateFailed]:
        for view in candidates:
            self.views.append(view)
            told = self.script[view.entry.item]
            if isinstance(told, Exception):
                raise told
            if told == "fail":
                yield CandidateFailed(FineRecord(view.entry, None, "log-odds", error="it is broken"))
            else:
                score, entropy = told if isinstance(told, tuple) else (told, None)
                yield CandidateScored(FineRecord(view.entry, score, "log-odds", entropy=entropy))


@pytest.fixture
def collection(image_folder: Path, colour_embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    return open_collection(open_corpus(image_folder), colour_embedder)


RED = Query(text="a red, round thing")  # the pool: 0 (red round), 3 (red square), then the other round ones


def run(collection: Collection, script: dict[int, Any], **options: Any) -> list[Any]:
    return list(Retriever(collection, Scripted(script)).search(RED, SearchOptions(top_k=4, **options)))


def done(events: list[Any]) -> Done:
    assert isinstance(events[-1], Done) and sum(isinstance(event, Done) for event in events) == 1
    return events[-1]


def test_the_order_of_events(collection: Collection) -> None:
    events = run(collection, {0: 0.1, 3: 0.9, 1: 0.3, 2: 0.2})
    assert [type(event) for event in events] == [Started, PoolReady, *[CandidateScored] * 4, Done]
    assert events[0].models["embedder"]["name"] == "colours" and events[0].models["mllm"]["name"] == "scripted"
    assert events[0].models["corpus"]["items"] == 6 and events[0].options["top_k"] == 4
    assert [entry.item for entry in events[1].entries][:2] == [0, 3]
    assert done(events).order == [3, 1, 2, 0]
    assert set(done(events).seconds) == {"coarse", "fine", "all"}


def test_without_a_model_the_coarse_order_stands(collection: Collection) -> None:
    for scorer, options in ((None, {}), (Scripted({}), {"fine": False}), (Scripted({}), {"skip_margin": 0.01})):
        events = list(Retriever(collection, scorer).search(RED, SearchOptions(top_k=3, **options)))
        assert [type(event) for event in events] == [Started, PoolReady, FineSkipped, Done]
        assert done(events).order == [entry.item for entry in events[1].entries] and not done(events).records
    assert "leads by" in events[2].reason
    assert any(
        isinstance(event, CandidateScored) for event in run(collection, dict.fromkeys(range(6), 0.0), skip_margin=0.9)
    )


def test_ties_go_to_the_lowest_entropy(collection: Collection) -> None:
    script = {0: (0.9, 0.7), 3: (0.9, 0.2), 1: (0.1, 0.0), 2: (0.0, 0.0)}
    events = run(collection, script)
    assert events[-2] == TieResolved([0, 3], 3, moved=True) and done(events).order[:2] == [3, 0]
    events = run(collection, script, tie_rule=False)
    assert done(events).order[:2] == [0, 3] and not any(isinstance(event, TieResolved) for event in events)


def test_stops_when_the_lead_is_decisive(collection: Collection) -> None:
    script = {0: 0.1, 3: 3.0, 1: 9.0, 2: 0.0}
    events = run(collection, script, stop_lead=2.0)
    assert sum(isinstance(event, CandidateScored) for event in events) == 2
    assert "2 of 4 candidates are not read" in next(e for e in events if isinstance(e, StoppedEarly)).reason
    assert done(events).order[:2] == [3, 0] and not done(events).cancelled
    assert not any(isinstance(event, StoppedEarly) for event in run(collection, script, stop_lead=99.0))


def test_a_failed_candidate_costs_nobody_else(collection: Collection) -> None:
    events = run(collection, {0: "fail", 3: 0.2, 1: float("nan"), 2: 0.5})
    assert done(events).order == [2, 3, 0, 1]
    assert [record.error for record in done(events).records] == ["", "", "it is broken", ""]


def test_a_scorer_that_breaks_leaves_what_it_said(collection: Collection) -> None:
    events = run(collection, {0: 0.2, 3: RuntimeError("out of\nmemory"), 1: 0.9, 2: 0.9})
    failed = [event.record for event in events if isinstance(event, CandidateFailed)]
    assert len(failed) == 3 and {record.error for record in failed} == {"The model broke: out of memory"}
    assert done(events).order[:2] == [0, 3] and len(done(events).order) == 4
    with pytest.raises(InputError, match="not supported"):
        run(collection, {0: InputError("Enhancement is not supported here.")})


def test_cancelling_keeps_what_was_scored(collection: Collection) -> None:
    asked = iter([False, False, True, True, True, True])
    retriever = Retriever(collection, Scripted(dict.fromkeys(range(6), 0.5)))
    events = list(retriever.search(RED, SearchOptions(top_k=4), lambda: next(asked, True)))
    assert [type(event) for event in events] == [
        Started,
        PoolReady,
        CandidateScored,
        CandidateScored,
        TieResolved,
        Done,
    ]
    assert done(events).cancelled and len(done(events).order) == 4
    events = list(retriever.search(RED, SearchOptions(), lambda: True))
    assert [type(event) for event in events] == [Started, PoolReady, Done] and done(events).cancelled


def test_what_the_model_is_given_to_read(collection: Collection) -> None:
    def views(query: Query, **options: Any) -> list[Any]:
        scorer = Scripted(dict.fromkeys(range(6), 0.5))
        list(Retriever(collection, scorer).search(query, SearchOptions(top_k=3, **options)))
        assert len(scorer.views) == 3
        return scorer.views

    for view in views(RED):
        assert view.image is not None and view.text == "" and len(view.key) == 64
        assert view.image().size == (48, 40)
    assert len({view.key for view in views(RED)}) == 3
    picture = Query(image=collection.image(0))
    assert all(view.image is not None for view in views(picture))  # one of six has no caption
    for view in views(picture, split="train"):
        assert view.image is None and view.text.endswith("thing") and view.key == ""
    for view in views(RED, view="both", split="train"):
        assert view.image is not None and view.text


def test_a_model_of_one_picture_is_given_captions_for_a_query_with_a_picture(collection: Collection) -> None:
    both = Query(text="round", image=collection.image(0))
    for limit, reads_pictures in ((1, False), (8, True)):
        scorer: Any = Scripted(dict.fromkeys(range(6), 0.5))
        scorer.pictures = limit
        list(Retriever(collection, scorer).search(both, SearchOptions(top_k=3, split="train")))
        assert [view.image is not None for view in scorer.views] == [reads_pictures] * 3
        assert all(view.text for view in scorer.views)


@pytest.mark.parametrize("mode", ["log-odds", "likelihood"])
def test_a_real_model_reads_the_pool_and_a_vanished_picture_fails_alone(
    collection: Collection, image_folder: Path, scorer: Callable[..., Any], mode: Any
) -> None:
    (image_folder / "square" / "0.jpg").unlink()
    events = list(Retriever(collection, scorer("llava")).search(RED, SearchOptions(top_k=4, mode=mode)))
    assert [type(event).__name__ for event in events].count("CandidateFailed") == 1
    result = done(events)
    assert result.records[-1].entry.item == 3 and "square/0.jpg" in result.records[-1].error
    scores = [record.score for record in result.records[:-1]]
    assert scores == sorted(scores, reverse=True) and result.order[-1] == 3
    assert all(record.mode == mode for record in result.records)
