"""Which atlases a server shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.opened import atlases
from engine.paths import demo_atlases
from tests.synthetic_atlas import write_synthetic_atlas


def test_the_demo_is_shown_when_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(atlases.VARIABLE, raising=False)
    assert atlases.atlas_paths() == demo_atlases()


def test_a_missing_folder_is_said_and_the_others_are_shown(
    atlas_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        atlases.VARIABLE, os.pathsep.join([str(tmp_path / "none"), str(atlas_folder), str(atlas_folder)])
    )
    atlases.forget()
    missing, found = atlases.entries()  # the same content twice is one atlas
    assert missing.atlas is None and "none" in missing.problem
    assert found.atlas is not None and atlases.find(found.atlas.key) is found.atlas
    assert atlases.find("no such key") is None
    atlases.forget()


def test_a_rebuilt_atlas_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "atlas"
    monkeypatch.setenv(atlases.VARIABLE, str(folder))
    atlases.forget()
    assert atlases.atlases() == {}
    write_synthetic_atlas(folder, 32, 12, seed=1)
    (before,) = atlases.atlases()
    write_synthetic_atlas(folder, 48, 12, seed=2)
    (after,) = atlases.atlases()
    assert before != after and atlases.find(before) is None and atlases.atlases()[after].n_atoms == 48
    atlases.forget()


def test_an_atlas_beside_a_rebuilt_one_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for seed, folder in enumerate((one, two)):
        write_synthetic_atlas(folder, 32, 12, seed=seed)
    monkeypatch.setenv(atlases.VARIABLE, os.pathsep.join([str(one), str(two)]))
    atlases.forget()
    before = [entry.atlas for entry in atlases.entries()]
    write_synthetic_atlas(one, 48, 12, seed=2)
    after = [entry.atlas for entry in atlases.entries()]
    assert after[0] is not before[0] and after[1] is before[1]
    atlases.forget()
