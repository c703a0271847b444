"""What is loaded once: kept by the object that it belongs to, few at a time, and tried again when it failed."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from app.opened import corpora, models
from app.opened.models import LoadedOnce
from engine.atlas import Atlas
from engine.errors import AtomscopeError
from engine.progress import Progress, SilentProgress


class Thing:
    pass


def test_something_large_is_made_once_and_tried_again_after_a_failure() -> None:
    made: list[Thing] = []

    def make(progress: Progress) -> Thing:
        made.append(Thing())
        if len(made) == 1:
            raise AtomscopeError("The disk is full.")
        return made[-1]

    lazy = LoadedOnce(make)
    with pytest.raises(AtomscopeError, match="disk is full"):
        lazy.get(SilentProgress())
    assert (
        not lazy.ready
        and lazy.get(SilentProgress()) is lazy.get(SilentProgress()) is made[1]
        and lazy.ready
        and len(made) == 2
    )


def test_an_encoder_belongs_to_the_open_atlas_not_to_its_key(atlas_folder: Path) -> None:
    one, again = Atlas.open(atlas_folder), Atlas.open(atlas_folder)
    assert one.key == again.key and models.encoder(one) is models.encoder(one)
    assert models.encoder(one) is not models.encoder(again)


def test_few_encoders_are_kept(atlas_folder: Path) -> None:
    first = weakref.ref(models.encoder(Atlas.open(atlas_folder)))
    others = [models.encoder(Atlas.open(atlas_folder)) for _ in range(2)]
    gc.collect()
    assert first() is None and len(others) == 2


def test_a_collection_goes_with_its_corpus(offered: corpora.CorpusEntry) -> None:
    from engine.corpus import open_corpus

    corpus = open_corpus(offered.path)
    known = weakref.ref(models.collection(corpus))
    assert models.collection(corpus) is known()
    assert offered.corpus is not None and models.collection(offered.corpus) is not known()
    del corpus
    gc.collect()
    assert known() is None


def test_another_model_of_the_same_name_is_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(models.VARIABLE, str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    before = models.scorer()
    assert models.scorer() is before
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    assert models.scorer() is not before
