"""``atomscope validate`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import run
from tests.synthetic_atlas import write_synthetic_atlas


def test_a_sound_atlas_is_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atlas = write_synthetic_atlas(tmp_path / "atlas", 20, 5)
    assert run(["validate", str(atlas)]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and "is sound" in printed.err
    assert run(["validate", str(atlas), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"atlas": str(atlas), "sound": True, "faults": []}


def test_faults_are_lines_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atlas = write_synthetic_atlas(tmp_path / "atlas", 20, 5)
    (atlas / "labels.parquet").unlink()
    (atlas / "codes" / "items.npy").write_bytes(b"")
    assert run(["validate", str(atlas)]) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert "labels.parquet: it is missing." in printed.out
    assert "2 faults" in printed.err
    assert run(["validate", str(atlas), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["sound"] is False


def test_a_folder_that_is_no_atlas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(tmp_path)]) == 2
    assert "is not a concept atlas" in capsys.readouterr().out
