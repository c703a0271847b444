"""``atomscope sweep`` and then ``atomscope lab compare`` on a real small store, as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import run
from engine.corpus import open_corpus

SWEEP = """
store = "{store}"
out = "{out}"
seeds = [0, 1]
[training]
tokens = 640
batch_tokens = 64
warmup_steps = 0
device = "cpu"
[defaults]
n_atoms = 24
normalise = "standardise"
init = "spread"
[[sae]]
architecture = "sparsemax"
[[sae]]
architecture = "topk"
k = 3
"""


@pytest.fixture
def sweep(labelled_pictures: Path, tiny_clip: str, tmp_path: Path) -> tuple[Path, Path]:
    """A finished sweep of two SAEs and two seeds, and the store it was trained on."""
    from engine.activations import extract
    from engine.backbones import load_backbone

    store, out = tmp_path / "store", tmp_path / "out"
    extract(load_backbone(tiny_clip, -2, device="cpu"), open_corpus(labelled_pictures), store)
    config = tmp_path / "sweep.toml"
    config.write_text(SWEEP.format(store=store, out=out))
    assert run(["sweep", str(config)]) == 0
    return out, store


def test_one_table_of_all_saes_and_a_second_run_measures_nothing(
    sweep: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, store = sweep
    given = ["lab", "compare", str(out), "--acts", str(store), "--items", "6", "--threshold", "0", "--device", "cpu"]
    capsys.readouterr()
    assert run([*given, "-o", str(tmp_path / "figures.json")]) == 0
    said = capsys.readouterr()
    lines = {line[:27].strip(): line for line in said.out.splitlines()}
    assert lines[""].split() == ["sparsemax", "topk"] and "±" in lines["FVU (centred)"]
    assert lines["L0"].split()[-1] == "3.0"
    for words in (
        "accuracy, spliced",
        "top-n, on-1",
        "top-n, off-50",
        "atoms found by another seed",
        "training, seconds",
    ):
        assert words in lines
    assert "mean over 2 seeds" in said.err and "classify with the SAE spliced in: 6 items" in said.err
    assert run([*given, "--json"]) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == json.loads((tmp_path / "figures.json").read_text())
    assert "classify" not in again.err and "evaluate:" not in again.err


def test_what_is_not_there_is_one_sentence(sweep: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    out, store = sweep
    for arguments, words in (
        ([str(tmp_path / "nowhere"), "--acts", str(store)], "holds no finished sweep"),
        ([str(out), "--acts", str(tmp_path / "nowhere")], "nowhere"),
        ([str(out), "--acts", str(store), "--split", "exam"], "no items of the split 'exam'"),
    ):
        capsys.readouterr()
        assert run(["lab", "compare", *arguments]) == 2
        assert words in " ".join(capsys.readouterr().err.split())
