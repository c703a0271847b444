"""The benchmark against searches run one by one, and its habits: nothing is asked twice, a stopped run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backbones.vectors import Vectors
from engine.corpus import open_corpus
from engine.errors import InputError
from engine.progress import SilentProgress
from engine.retrieval.coarse.collection import open_collection
from engine.retrieval.evaluation import BenchmarkOptions, PairSet, benchmark, from_corpus
from engine.retrieval.evaluation.coarse import open_galleries
from engine.retrieval.evaluation.measures import gains, interval, recalls
from engine.retrieval.evaluation.pairs import evenly_spaced
from engine.retrieval.search.events import CandidateScored, Done, FineRecord
from engine.retrieval.search.query import Enhancement, Query, SearchOptions
from engine.retrieval.search.ranking import Prior
from engine.retrieval.search.retriever import Retriever


class Oracle:
    """Knows which caption belongs to which picture by its colour and shape; counts what it is asked."""

    def __init__(self, embedder: Any, sure: float = 1.0) -> None:
        self.identity = {"name": "oracle", "revision": str(sure)}
        self.default_mode, self.prior, self.pictures, self.enhancement_fault = "log-odds", Prior(), 1, ""
        self.embedder, self.sure = embedder, sure
        self.asked: list[tuple[int, ...]] = []
        self.stop_after: int | None = None

    def clear(self) -> None:
        """Keeps nothing."""

    def score(
        self, query: Query, candidates: Sequence[Any], options: SearchOptions, cancelled: Callable[[], bool] = bool
    ) -> Iterator[CandidateScored]:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        assert query.image is not None
        seen = self.embedder.embed_images([query.image])[0]
        self.asked.append(tuple(len(view.text) for view in candidates))
        for view in candidates:
            match = float(self.embedder.embed_texts([view.text])[0] @ seen)
            true = 0.9 if match > 0.9 else 0.05
            record = FineRecord(
                view.entry, self.sure * match, options.mode or "log-odds", p_true=true, p_false=0.95 - true,
                label_mass=0.95, milliseconds=1.0, fired_layer=3 if options.enhancement else None,
            )  # fmt: skip
            yield CandidateScored(record, record if options.enhancement else None)


@pytest.fixture
def pairs(image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PairSet:
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    return from_corpus(open_corpus(image_folder))


def test_an_oracle_reaches_the_ceiling(pairs: PairSet, colour_embedder) -> None:
    blurred = colour_embedder.embed_texts
    oracle = Oracle(type(colour_embedder)())
    # The coarse stage is made to confuse shapes: texts are embedded without them.
    colour_embedder.embed_texts = lambda texts: blurred([t.replace("round", "").replace("square", "") for t in texts])
    options = BenchmarkOptions(top_k=(1, 2), enhancement=Enhancement(), timed=0)
    found = benchmark(pairs, colour_embedder, oracle, options, SilentProgress())
    assert found["gallery"] == {"pictures": 5, "captions": 5}
    for part in found["directions"].values():
        coarse, fine = part["coarse"], part["fine"]["log-odds"]
        assert part["queries"] == 5 and coarse["recall@5"]["value"] == 1.0
        assert fine["1"]["recall"] == coarse  # a pool of one cannot be reordered
        assert (
            coarse["recall@1"]["value"]
            < 1.0
            == part["ceiling"]["2"]["value"]
            == fine["2"]["recall"]["recall@1"]["value"]
        )
        gain = fine["2"]["gain"]["recall@1"]
        assert (
            gain["value"] == pytest.approx(1 - coarse["recall@1"]["value"])
            and gain["low"] <= gain["value"] <= gain["high"]
        )
        assert [point["k"] for point in part["sweep"]["log-odds"]] == [1, 2]
        assert part["sweep"]["log-odds"][1] == {"k": 2, "recall@1": 1.0, "ceiling": 1.0}
        assert part["enhanced"]["log-odds"]["2"]["gain_over_fine"]["recall@1"]["value"] == 0.0
    assert found["label_mass"]["log-odds"] == 0.95 and found["enhancement"]["fired"] == 1.0
    verdict = found["true_false"]["log-odds"]
    assert verdict["pairs"] == 10 and verdict["accuracy"]["value"] == 1.0


def test_every_picture_is_read_once_with_all_its_captions(pairs: PairSet, colour_embedder) -> None:
    oracle, options = Oracle(colour_embedder), BenchmarkOptions(top_k=(3,), timed=0)
    first = benchmark(pairs, colour_embedder, oracle, options, SilentProgress())
    assert len(oracle.asked) == 5  # both directions and the hard pairs in one reading of each picture
    assert benchmark(pairs, colour_embedder, oracle, options, SilentProgress()) == first and len(oracle.asked) == 5
    benchmark(
        pairs, colour_embedder, Oracle(colour_embedder, 2.0), options, SilentProgress()
    )  # another model, its own scores
    assert len(oracle.asked) == 5


def test_a_killed_run_goes_on(pairs: PairSet, colour_embedder, tmp_path: Path) -> None:
    oracle, options = Oracle(colour_embedder), BenchmarkOptions(top_k=(3,), timed=0)
    wanted = benchmark(pairs, colour_embedder, oracle, options, SilentProgress(), tmp_path / "whole")
    oracle.asked.clear()
    oracle.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        benchmark(pairs, colour_embedder, oracle, options, SilentProgress(), tmp_path / "scores")
    (book,) = (tmp_path / "scores").iterdir()
    with book.open("a") as file:
        file.write('{"key": "torn')  # the line it was writing
    oracle.stop_after = None
    assert benchmark(pairs, colour_embedder, oracle, options, SilentProgress(), tmp_path / "scores") == wanted
    assert len(oracle.asked) == 5
    oracle.asked.clear()
    benchmark(pairs, colour_embedder, oracle, options, SilentProgress(), tmp_path / "scores")
    assert not oracle.asked  # the torn line spoiled none that came after it


def test_a_real_model_ranks_as_single_searches_do(
    pairs: PairSet, colour_embedder, scorer: Callable[..., Any], tmp_path: Path
) -> None:
    """All pools from one table of judgements = every query searched on its own, in both directions."""
    model = scorer("llava")
    options = BenchmarkOptions(top_k=(3,), modes=("log-odds", "listwise"), timed=1)
    found = benchmark(pairs, colour_embedder, model, options, SilentProgress())
    retriever = Retriever(open_collection(pairs.corpus, colour_embedder), model)
    rows = pairs.pictures
    hits: dict[str, list[bool]] = {"text-image": [], "image-text": []}
    sub = retriever.collection
    sub.rows = lambda split="": rows  # type: ignore[method-assign]  # the gallery: pictures that have a caption
    for number, row in enumerate(rows):
        for direction, query in (
            ("text-image", Query(text=pairs.captions[number])),
            ("image-text", Query(image=sub.image(int(row)))),
        ):
            (result,) = (
                e for e in retriever.search(query, SearchOptions(top_k=3, mode="log-odds")) if isinstance(e, Done)
            )
            hits[direction].append(result.order[0] == row)
    for direction, right in hits.items():
        figures = found["directions"][direction]["fine"]["log-odds"]["3"]["recall"]
        assert figures["recall@1"]["value"] == pytest.approx(np.mean(right))
    assert set(found["directions"]["image-text"]["fine"]) == {"log-odds", "listwise"}
    assert set(found["directions"]["text-image"]["fine"]) == {"log-odds"}  # this model reads one picture a prompt
    assert found["seconds"]["text-image"]["searches"] == 1 and found["seconds"]["text-image"]["all"] > 0


def test_the_coarse_stage_alone_and_what_cannot_be_measured(
    pairs: PairSet, colour_embedder, image_folder: Path
) -> None:
    found = benchmark(pairs, colour_embedder, None, BenchmarkOptions(queries=2), SilentProgress())
    assert found["models"]["mllm"] is None and found["directions"]["text-image"]["queries"] == 2
    with pytest.raises(InputError, match="no split 'holdout'; its splits: train, test"):
        from_corpus(open_corpus(image_folder), "holdout")
    with pytest.raises(InputError, match="1 captioned pictures in the split 'test': a benchmark needs at least two"):
        from_corpus(open_corpus(image_folder), "test")
    colour_embedder.modalities = frozenset(("text",))
    with pytest.raises(InputError, match="embeds text only"):
        benchmark(pairs, colour_embedder, None, BenchmarkOptions(), SilentProgress())


def test_a_model_that_asks_otherwise_is_asked_so_in_both_directions(pairs: PairSet, colour_embedder) -> None:
    turned = np.diag([-1.0, 1, 1, 1, 1]).astype(np.float32)
    plain = open_galleries(pairs, colour_embedder, SilentProgress())
    assert plain.asked_captions is plain.captions
    images = plain.collection.vectors("image")

    class Asking(type(colour_embedder)):  # type: ignore[misc]
        def embed_text_queries(self, texts: Sequence[str]) -> Vectors:
            return np.asarray(self.embed_texts(texts) @ turned)

        def embed_image_queries(self, images: Sequence[Any]) -> Vectors:
            return np.asarray(self.embed_images(images) @ turned)

    asking = Asking()
    asking.identity["revision"] = "asks"
    for _ in range(2):  # the second time from the cache
        galleries = open_galleries(pairs, asking, SilentProgress())
        np.testing.assert_array_equal(galleries.captions, plain.captions)
        np.testing.assert_allclose(galleries.asked_captions, plain.captions @ turned)
        np.testing.assert_allclose(galleries.asked_pictures[pairs.pictures], images[pairs.pictures] @ turned)
    assert asking.seen == len(images) + len(pairs.pictures)
    for query in galleries.ask("text-image", None, 3):
        np.testing.assert_allclose(
            query.scores, images[query.candidates] @ turned @ plain.captions[query.query], atol=1e-6
        )
    for query in galleries.ask("image-text", None, 3):
        np.testing.assert_allclose(
            query.scores, plain.captions[query.candidates] @ turned @ images[query.query], atol=1e-6
        )


def test_the_same_words_are_a_right_answer(pairs: PairSet) -> None:
    doubled = PairSet(pairs.corpus, "", ["A cat.", "a cat. ", "A dog.", "A cat."], np.array([0, 2, 2, 4]))
    assert doubled.right_pictures(0) == {0, 2, 4} and doubled.right_pictures(2) == {2}
    assert doubled.right_captions(2) == {0, 1, 2, 3} and doubled.right_captions(4) == {0, 1, 3}
    assert doubled.pictures.tolist() == [0, 2, 4]
    assert list(evenly_spaced(10, 4)) == [0, 2, 5, 7] and list(evenly_spaced(3, None)) == [0, 1, 2]


def test_intervals() -> None:
    values = np.random.default_rng(0).random(400) < 0.3
    figure = interval(values)
    half = 1.96 * np.sqrt(values.mean() * (1 - values.mean()) / 400)  # the normal approximation
    assert figure["value"] == values.mean()
    assert figure["low"] == pytest.approx(values.mean() - half, abs=0.01)
    assert figure["high"] == pytest.approx(values.mean() + half, abs=0.01)
    ranks: list[int | None] = [1, 2, None, 7]
    assert [figure["value"] for figure in recalls(ranks).values()] == [0.25, 0.5, 0.75]
    assert gains(ranks, ranks)["recall@1"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert gains([1, 1, 1, 1], ranks)["recall@1"]["value"] == 0.75
