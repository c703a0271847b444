"""What the worker does: a request in the engine's terms, what comes without the fine stage, and the atoms of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from app.opened import corpora, models
from app.opened.models import LoadedOnce
from app.pages.retrieval import worker
from app.pages.retrieval.request import Request
from app.work import Job
from engine.atlas import Atlas
from engine.errors import AtomscopeError
from engine.retrieval.search.events import Done, Event, FineSkipped, PoolReady, Started
from engine.retrieval.search.query import Enhancement


def test_the_answer_is_known_for_a_caption_and_for_a_picture_read_as_caption(offered: corpora.CorpusEntry) -> None:
    known = lambda **query: worker.answer_of(offered, Request(corpus=offered.key, **query))  # noqa: E731
    assert known(text=" A green wall. ") == 1 and known(text="a wall") is None
    assert known(item="animals/0.png") == 0 and known(item="animals/3.png") is None  # the last has no caption
    assert known(item="animals/0.png", view="image") is None and known(item="animals/0.png", text="but blue") is None


def test_options_are_the_engines() -> None:
    options = worker.options_of(Request(text="x", k=7, enhance="published-code", tie="off", stop=1.5), "test")
    assert (options.top_k, options.tie_rule, options.stop_lead, options.split) == (7, False, 1.5, "test")
    assert options.enhancement is not None and options.enhancement.preset == "published-code"
    assert options.enhancement.alpha is None and options.enhancement.tokens is None
    assert worker.options_of(Request(text="x"), "").enhancement is None
    open_ = Request(text="x", enhance="paper", alpha=0.5, threshold=0.2, tokens="all", gate="every")
    assert worker.options_of(open_, "").enhancement == Enhancement(alpha=0.5, threshold=0.2, tokens="all", gate="every")


class Colours:
    """An embedder of mean colours; words are the first letters of red, green and blue."""

    identity: ClassVar[dict[str, Any]] = {
        "name": "colours",
        "revision": "1",
        "architecture": "Colours",
        "preprocessing": {},
    }
    width = 3
    modalities = frozenset(("image", "text"))

    def embed_images(self, images: Any) -> Any:
        means = np.stack([np.asarray(image.resize((1, 1)), np.float32)[0, 0] + 1 for image in images])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def embed_texts(self, texts: Any) -> Any:
        counts = np.stack([[1 + 9 * text.count(c) for c in ("red", "green", "blue")] for text in texts]).astype("f4")
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    """Models of a machine that has an embedder and no multimodal model."""

    def none(progress: Any) -> Any:
        raise AtomscopeError("There is no model.")

    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "embedder", lambda name: LoadedOnce(lambda progress: Colours()))
    monkeypatch.setattr(models, "scorer", lambda: LoadedOnce(none))
    yield


def searched(entry: corpora.CorpusEntry | None, request: Request) -> Job[Event]:
    job = Job[Event](
        lambda job: worker.search(job, entry, request, upload=None, answer=worker.answer_of(entry, request))
    )
    job.run()
    return job


def test_without_a_model_the_coarse_stage_answers_and_says_why(coarse: None, offered: corpora.CorpusEntry) -> None:
    job = searched(offered, Request(text="a green wall", corpus=offered.key, k=2))
    assert job.state == "done", job.error
    assert [type(event) for event in job.events] == [Started, PoolReady, Started, PoolReady, FineSkipped, Done]
    done = job.events[-1]
    assert isinstance(done, Done) and done.order[0] == 1
    assert job.warnings == ["Only the coarse stage answers. There is no model."]


def test_what_cannot_be_searched_is_one_sentence(coarse: None, offered: corpora.CorpusEntry) -> None:
    assert searched(None, Request(text="x", corpus="gone")).error == "No corpus 'gone' is open here."
    closed = corpora.CorpusEntry("mine", offered.path, None, "It cannot be read.")
    assert searched(closed, Request(text="x")).error == "It cannot be read."
    assert "has no item 'nothing'" in searched(offered, Request(item="nothing")).error


def test_a_corpus_that_changed_is_not_served_from_what_was_embedded_before(
    coarse: None, offered: corpora.CorpusEntry, stream: Callable[..., Any]
) -> None:
    request = Request(text="something blue", corpus=offered.key, k=1)
    first = searched(offered, request).events[-1]
    (offered.path / "animals" / "2.png").unlink()
    Image.new("RGB", (400, 300), "blue").save(offered.path / "animals" / "0.png")
    captions = offered.path / "captions.csv"
    captions.write_text(captions.read_text() + "animals/3.png,A white wall.\n")  # the file that tells of the change
    again = corpora.entry(offered.key)
    assert again is not None and again.corpus is not None and again.content != offered.content
    last = searched(again, request).events[-1]
    assert isinstance(first, Done) and isinstance(last, Done)
    assert str(again.corpus.items["id"].iat[last.order[0]]) == "animals/0.png"
    assert offered.corpus is not None and str(offered.corpus.items["id"].iat[first.order[0]]) == "animals/2.png"
    assert models.collection(again.corpus) is not models.collection(offered.corpus)


def test_texts_have_no_atoms_and_a_cancelled_job_encodes_nothing(shown: Atlas, offered: corpora.CorpusEntry) -> None:
    job = Job[Any](lambda job: worker.encode(job, shown, offered, Request(text="x"), None, [0, 1]))
    job.cancel()
    job.run()
    assert job.events == [] and job.state == "cancelled"
