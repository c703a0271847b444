"""A small synthetic atlas, opened by the app's own library, and helpers that read what a page shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import library
from engine.atlas import Atlas


@pytest.fixture(scope="session")
def atlas_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """192 atoms, 60 items; some atoms dead, one dense."""
    from engine.atlas.synthetic import write_synthetic_atlas

    return write_synthetic_atlas(tmp_path_factory.mktemp("atlas") / "small", 192, 60, seed=3)


@pytest.fixture
def shown(atlas_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Atlas]:
    """The atlas as the one this server shows."""
    monkeypatch.setenv(library.VARIABLE, str(atlas_folder))
    library.forget()
    yield next(iter(library.atlases().values()))
    library.forget()


@pytest.fixture
def linked(shown: Atlas, monkeypatch: pytest.MonkeyPatch) -> Atlas:
    """``shown``, for pure drawing functions: the URL names this atlas."""
    from app import state

    monkeypatch.setattr(state, "atlas", lambda: shown)
    monkeypatch.setattr(state, "has_page", lambda name: True)
    return shown
