"""Pictures read ahead: the same scores to the last bit, no picture opened again, resumable, and honest about what failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.cli.main import run
from engine.corpus import open_corpus
from engine.errors import AtomscopeError, InputError
from engine.retrieval.coarse.collection import Collection, open_collection
from engine.retrieval.search.query import Query, SearchOptions

if TYPE_CHECKING:
    from engine.retrieval.fine.mllm_scorer import CandidateView, FineScorer
    from engine.retrieval.fine.picture_store import PictureStore

pytestmark = pytest.mark.filterwarnings("error::FutureWarning")

ARCHITECTURES = ("qwen2_5_vl", "qwen3_vl", "llava", "idefics3", "internvl", "gemma3", "aya_vision")
Scorers = Callable[..., "FineScorer"]
Views = Callable[..., "list[CandidateView]"]


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    from engine.retrieval.fine.picture_store import PictureStore

    return PictureStore(tmp_path / "pictures")


@pytest.fixture
def collection(image_folder: Path, colour_embedder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    return open_collection(open_corpus(image_folder), colour_embedder)


def scores(scorer: FineScorer, views: list[CandidateView]) -> list[tuple[float | None, str]]:
    events = scorer.score(Query("a red square"), views, SearchOptions(batch=len(views)))
    return [(event.record.score, event.record.cache) for event in events]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_scores_are_the_same_bits_and_no_picture_is_opened(
    kind: str, scorer: Scorers, views: Views, store: PictureStore
) -> None:
    from dataclasses import replace

    def gone() -> Any:
        raise AssertionError("the picture was opened")

    fresh = scorer(kind, store=store)
    pictures, faults = fresh.look(views())
    assert len(pictures) == 5 and not faults
    for picture in pictures:
        store.put(picture)
    wanted = scores(fresh, views())
    ahead = scorer(kind, store=store)
    found = scores(ahead, [replace(view, image=gone) for view in views()])
    assert [score for score, _ in found] == [score for score, _ in wanted]
    assert {cache for _, cache in found} == {"image"}


def test_a_model_with_other_preprocessing_does_not_find_them(loaded: Callable[[str], Any]) -> None:
    from engine.retrieval.fine.picture_store import PictureStore

    mllm = loaded("llava")
    before = PictureStore.of(mllm).folder
    size = dict(mllm.processor.image_processor.size)
    try:
        mllm.processor.image_processor.size = {name: 2 * value for name, value in size.items()}
        assert PictureStore.of(mllm).folder != before
    finally:
        mllm.processor.image_processor.size = size
    assert PictureStore.of(mllm).folder == before != PictureStore.of(loaded("aya_vision")).folder


def test_a_broken_file_costs_one_reading_only(scorer: Scorers, views: Views, store: PictureStore) -> None:
    model = scorer("llava", store=store)
    pictures, _ = model.look(views(2))
    for picture in pictures:
        store.put(picture)
    for path in store.folder.glob("*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    again = scores(scorer("llava", store=store), views(2))
    assert [score for score, _ in again] == pytest.approx([score for score, _ in scores(model, views(2))], abs=1e-5)
    assert {cache for _, cache in again} == {""}


def test_a_collection_is_prepared_once(
    image_folder: Path, collection: Collection, scorer: Scorers, store: PictureStore
) -> None:
    from engine.progress import SilentProgress
    from engine.retrieval.fine.preparation import prepare

    (image_folder / collection.id(1)).write_bytes(b"no picture")
    heard = SilentProgress()
    done = prepare(collection, scorer("llava", store=store), collection.rows(), heard)
    files = list(store.folder.glob("*/*.safetensors"))
    assert (done.read, done.kept, done.failed) == (5, 0, 1) and len(heard.warnings) == 1
    assert done.bytes == sum(path.stat().st_size for path in files) and len(files) == 5
    files[0].unlink()  # as after a stop
    again = prepare(collection, scorer("llava", store=store), collection.rows())
    assert (again.read, again.kept, again.failed) == (1, 4, 1)


def test_a_full_disk_is_said_and_nothing_is_lost(
    collection: Collection, scorer: Scorers, store: PictureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.retrieval.fine import preparation

    monkeypatch.setattr(preparation, "BATCH", 2)
    monkeypatch.setattr(preparation.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(AtomscopeError, match="prepare one --split"):
        preparation.prepare(collection, scorer("llava", store=store), collection.rows())
    assert len(list(store.folder.glob("*/*.safetensors"))) == 2


def test_an_architecture_that_takes_nothing_back_is_refused(
    collection: Collection, scorer: Scorers, store: PictureStore
) -> None:
    from engine.retrieval.fine.preparation import prepare

    model = scorer("llava", store=store)
    model.reader.images.share = False
    model.limits.append("It runs its vision tower anew for every prompt.")
    with pytest.raises(InputError, match="nothing to prepare"):
        prepare(collection, model, collection.rows())


def test_the_command(
    image_folder: Path,
    colour_embedder: Any,
    tiny_mllm: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.retrieval.search.opening.load_embedder", lambda *_: colour_embedder)
    command = ["prepare", "--corpus", str(image_folder), "--mllm", tiny_mllm("llava")]
    assert run([*command, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["read"], done["kept"], done["failed"]) == (6, 0, 0) and done["bytes"] > 0
    assert run(command) == 0
    captured = capsys.readouterr()
    assert captured.out == "0 pictures read (0 MB), 6 were ready\n"
    assert f"atomscope serve --corpus {image_folder}" in " ".join(captured.err.split())
    assert run([*command, "--split", "nowhere"]) == 2
