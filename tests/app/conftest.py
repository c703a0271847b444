"""A small synthetic atlas, opened by the app's own library, and helpers that read what a page shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from app.opened import atlases, corpora
from engine.atlas import Atlas


@pytest.fixture(scope="session")
def atlas_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """192 atoms, 60 items; some atoms dead, one dense."""
    from tests.synthetic_atlas import write_synthetic_atlas

    return write_synthetic_atlas(tmp_path_factory.mktemp("atlas") / "small", 192, 60, seed=3)


@pytest.fixture
def shown(atlas_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Atlas]:
    """The atlas as the one this server shows."""
    monkeypatch.setenv(atlases.VARIABLE, str(atlas_folder))
    atlases.forget()
    yield next(iter(atlases.atlases().values()))
    atlases.forget()


@pytest.fixture
def linked(shown: Atlas, monkeypatch: pytest.MonkeyPatch) -> Atlas:
    """``shown``, for pure drawing functions: the URL names this atlas."""
    from app import state

    monkeypatch.setattr(state, "atlas", lambda: shown)
    monkeypatch.setattr(state, "has_page", lambda name: True)
    return shown


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures; two of them have captions."""
    folder = tmp_path / "My pictures"
    for place, colour in enumerate(("red", "green", "blue", "white")):
        path = folder / "animals" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (400, 300), colour).save(path)
    (folder / "captions.csv").write_text("file,caption\nanimals/0.png,A red wall.\nanimals/1.png,A green wall.\n")
    return folder


@pytest.fixture
def offered(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[corpora.CorpusEntry]:
    """The folder as a corpus this server offers."""
    monkeypatch.setenv(corpora.VARIABLE, str(pictures))
    corpora.forget()
    entry = corpora.entry(corpora.key_of(pictures))
    assert entry is not None
    yield entry
    corpora.forget()
