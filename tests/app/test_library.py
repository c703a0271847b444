"""Which atlases a server shows."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from app import library
from engine.atlas.synthetic import write_synthetic_atlas
from engine.paths import demo_atlases


def test_the_demo_is_shown_when_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    assert library.atlas_paths() == demo_atlases()


def test_a_missing_folder_is_said_and_the_others_are_shown(
    atlas_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        library.VARIABLE, os.pathsep.join([str(tmp_path / "none"), str(atlas_folder), str(atlas_folder)])
    )
    library.forget()
    missing, found = library.entries()  # the same content twice is one atlas
    assert missing.atlas is None and "none" in missing.problem
    assert found.atlas is not None and library.find(found.atlas.key) is found.atlas
    assert library.find("no such key") is None
    library.forget()


def test_a_rebuilt_atlas_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "atlas"
    monkeypatch.setenv(library.VARIABLE, str(folder))
    library.forget()
    assert library.atlases() == {}
    write_synthetic_atlas(folder, 32, 12, seed=1)
    (before,) = library.atlases()
    write_synthetic_atlas(folder, 48, 12, seed=2)
    (after,) = library.atlases()
    assert before != after and library.find(before) is None and library.atlases()[after].n_atoms == 48
    library.forget()


def test_derived_values_are_made_once_by_many_threads() -> None:
    derived, made = library.Derived(max_entries=2), []

    def make() -> int:
        made.append(1)
        return len(made)

    threads = [threading.Thread(target=lambda: derived.get("key", make)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    derived.get("b", lambda: 2)
    derived.get("c", lambda: 3)
    assert derived.get("key", make) == 2  # the oldest went
