"""``atomscope sweep`` end to end on a small store."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from engine.cli.main import run

SWEEP = """
store = "{store}"
out = "{out}"
[training]
tokens = 240
batch_tokens = 48
[defaults]
n_atoms = 32
[[sae]]
architecture = "topk"
k = [2, 4]
"""


@pytest.fixture
def config(make_store, tmp_path: Path) -> Path:
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP.format(store=make_store().path, out=tmp_path / "out"), "utf-8")
    return path


def test_a_dry_run_prints_the_plan_and_trains_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", str(config), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "topk-k2" in said and "topk-k4" in said and "new" in said
    assert not (config.parent / "out").exists()


def test_a_sweep_trains_and_prints_its_table(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", str(config)]) == 0
    said = capsys.readouterr()
    assert "topk-k4" in said.out and "validation_nmse" in said.out and "next:  atomscope atlas" in said.err
    assert len(pd.read_parquet(config.parent / "out" / "sweep.parquet")) == 2


def test_a_typo_is_named_with_what_was_meant(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text("utf-8").replace("k = [2", "kay = [2"), "utf-8")
    assert run(["sweep", str(config)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "unknown setting 'kay'" in said and "Traceback" not in said
    assert run(["sweep", str(config.parent / "none.toml")]) == 2


def test_without_tensorboard_one_sentence(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(["sweep", str(config), "--tensorboard"]) == 2
    assert "pip install 'atomscope[tensorboard]'" in " ".join(capsys.readouterr().err.split())
