"""The fine scorer around the model: failures, cancelling, caches and their bounds, several searches at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from PIL import Image

    from engine.retrieval.fine.mllm_scorer import CandidateView, FineScorer

Views = Callable[..., "list[CandidateView]"]


def unreadable() -> Any:
    """An image that has vanished."""
    from engine.corpus.images import UnreadableItem

    raise UnreadableItem("boat.jpg has vanished from the folder.")


def test_one_failure_costs_the_others_nothing(scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.events import CandidateFailed, CandidateScored
    from engine.retrieval.search.query import Query, SearchOptions

    pool = views()
    pool[2] = replace(pool[2], image=unreadable)
    events = list(scorer().score(Query("a red square"), pool, SearchOptions()))
    kinds = [type(event) for event in events]
    assert kinds == [CandidateScored, CandidateScored, CandidateFailed, CandidateScored, CandidateScored]
    assert events[2].record.error == "boat.jpg has vanished from the folder."
    assert events[2].record.score is None
    alone = list(scorer().score(Query("a red square"), views(), SearchOptions()))
    for place in (0, 1, 3, 4):
        assert events[place].record.score == pytest.approx(alone[place].record.score, abs=1e-5)


def test_a_batch_that_breaks_is_read_one_by_one(
    scorer: Callable[..., FineScorer], views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.retrieval.fine.reader import PromptReader
    from engine.retrieval.search.events import CandidateFailed
    from engine.retrieval.search.query import Query, SearchOptions

    read = PromptReader.read

    def breaking(self: PromptReader, prompts: Any, *args: Any, **options: Any) -> Any:
        if any(picture.key == "item:picture-3" for prompt in prompts for picture in prompt.pictures):
            raise RuntimeError("out of luck\nwith a second line")
        return read(self, prompts, *args, **options)

    model = scorer()
    monkeypatch.setattr(PromptReader, "read", breaking)
    events = list(model.score(Query("a red square"), views(), SearchOptions()))
    assert [isinstance(event, CandidateFailed) for event in events] == [False, False, False, True, False]
    assert events[3].record.error == "The model failed on this candidate (RuntimeError: out of luck)."


def test_first_result_comes_alone_then_batches(scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    opened: list[int] = []
    pool = [
        replace(view, image=lambda view=view: (opened.append(view.entry.item), view.image())[1])  # type: ignore[misc]
        for view in views(6)
    ]
    events = scorer().score(Query("a red square"), pool, SearchOptions(batch=3))
    next(events)
    assert opened == [0]
    next(events)
    assert opened == [0, 1, 2]  # five more in two batches of at most three
    list(events)
    assert opened == [0, 1, 2, 3, 4, 5]


def test_cancel_between_batches(scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    seen: list[Any] = []
    options = SearchOptions(batch=2)
    for event in scorer().score(Query("a red square"), views(6), options, lambda: len(seen) >= 3):
        seen.append(event)
    assert [event.record.entry.item for event in seen] == [0, 1, 2, 3]  # asked between 1, 1, 2 and 2 candidates


def test_a_repeated_question_is_answered_from_the_record(scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    model, query = scorer(), Query("a red square")
    first = list(model.score(query, views(), SearchOptions()))
    moved = [replace(view, entry=replace(view.entry, rank=9)) for view in views()]
    again = list(model.score(query, moved, SearchOptions()))
    assert {event.record.cache for event in first} == {""}
    assert {event.record.cache for event in again} == {"score"}
    assert [event.record.score for event in again] == [event.record.score for event in first]
    assert {event.record.entry.rank for event in again} == {9}
    other = list(model.score(query, views(), SearchOptions(mode="expected")))
    assert "score" not in {event.record.cache for event in other}


def test_candidates_without_key_are_not_kept(scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    model = scorer()
    pool = [replace(view, key="") for view in views()]
    for _ in range(2):
        events = list(model.score(Query("a red square"), pool, SearchOptions()))
        assert {event.record.cache for event in events} == {""}


def test_caches_stay_within_their_bytes(scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    model = scorer(cache_bytes=100_000)
    small = list(model.score(Query("a red square"), views(6), SearchOptions()))
    reader = model.reader
    assert 0 < reader.stored.used <= reader.stored.limit <= 100_000
    assert 0 < reader.images.kept.used <= reader.images.kept.limit
    assert len(reader.stored) < 6
    large = list(scorer().score(Query("a red square"), views(6), SearchOptions()))
    assert [e.record.score for e in small] == pytest.approx([e.record.score for e in large], abs=1e-5)


def test_two_threads_at_once(scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    queries = [Query("a red square"), Query("a blue circle"), Query(image=pictures[5])]
    model, options = scorer(), SearchOptions(batch=2)
    wanted = [[e.record.score for e in scorer().score(query, views(), options)] for query in queries]
    found: dict[int, list[Any]] = {}
    start = threading.Barrier(len(queries))

    def search(number: int) -> None:
        start.wait()
        found[number] = [event.record.score for event in model.score(queries[number], views(), options)]

    threads = [threading.Thread(target=search, args=(number,)) for number in range(len(queries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(len(queries)):
        assert found[number] == pytest.approx(wanted[number], abs=1e-5)


def test_views_choose_what_is_read(
    scorer: Callable[..., FineScorer], views: Views, pictures: list[Image.Image]
) -> None:
    from engine.retrieval.search.query import Query, SearchOptions

    model = scorer()

    def prompt(query: Query, pool: list[CandidateView], view: Any = "auto") -> str:
        (event,) = model.score(query, pool, SearchOptions(view=view))
        return event.record.error or event.record.prompt

    (view,) = views(1)
    assert prompt(Query("boat"), [view]).count("<image x") == 1
    assert "a red square" not in prompt(Query("boat"), [view])
    assert "a red square" in prompt(Query("boat"), [view], "both")
    assert "Do the two captions" in prompt(Query("boat"), [view], "text")
    assert prompt(Query(image=pictures[5]), [view]).endswith("Caption: a red square<|im_end|>\n<|im_start|>assistant\n")
    assert prompt(Query(image=pictures[5]), [replace(view, text="")]).count("<image x") == 2
    assert "no picture" in prompt(Query("boat"), [replace(view, image=None)], "image")
    assert "no caption" in prompt(Query("boat"), [replace(view, text="")], "text")


def test_a_model_of_one_picture_says_so(
    loaded: Callable[[str], Any], views: Views, pictures: list[Image.Image]
) -> None:
    from engine.retrieval.fine.mllm_scorer import FineScorer
    from engine.retrieval.search.query import Query, SearchOptions

    model = FineScorer(replace(loaded("llava"), pictures=1))
    events = list(model.score(Query(image=pictures[5]), views(2), SearchOptions(view="image")))
    assert ["reads one picture at a time" in event.record.error for event in events] == [True] * 2
