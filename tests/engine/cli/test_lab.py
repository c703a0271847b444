"""``atomscope lab synthetic``, as small as it gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import run

SMALL = "--d-model 12 --features 16 --l0 2 --groups 4 --steps 8 --batch 64 --seeds 2".split()


def test_table_and_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "synthetic.json"
    assert run(["lab", "synthetic", "--sae", "topk", "--sae", "batchtopk", *SMALL, "-o", str(out)]) == 0
    said = capsys.readouterr()
    for words in ("the truth", "topk", "batchtopk", "cosine", "recovered", "F1", "FVU", "L0"):
        assert words in said.out
    assert "next:  atomscope train" in said.err
    assert run(["lab", "synthetic", "--sae", "topk", "--sae", "batchtopk", *SMALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text())


def test_bad_input_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--sae", "nonsense"], "unknown SAE architecture 'nonsense'"),
        (["--l0", "900"], "l0 must lie between 0 and a quarter of the features"),
        (["--sae", "topk:k=0"], "k must lie in 1 .. n_atoms"),
    ):
        assert run(["lab", "synthetic", *arguments, "--steps", "1", "--seeds", "1"]) == 2
        assert words in " ".join(capsys.readouterr().err.split())
