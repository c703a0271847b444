"""``atomscope train`` end to end on a small store."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.main import run
from engine.sae import SparsemaxConfig, TopKConfig, load_sae

QUICK = ["--tokens", "600", "--batch", "48", "--atoms", "40", "--lr", "1e-3", "--device", "cpu"]


def test_one_sae(make_store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, out = make_store().path, tmp_path / "run"
    arguments = ["--sae", "sparsemax", "--scale", "4", "--gate", "frequency", "--normalise", "centre", "--init", "data"]
    assert run(["train", "--acts", str(store), "-o", str(out), *QUICK, *arguments, "--dtype", "float16"]) == 0
    assert load_sae(out).config == SparsemaxConfig(
        d_model=16, n_atoms=40, scale=4.0, gate="frequency", normalise="centre", init="data"
    )
    said = capsys.readouterr()
    assert said.out == ""
    for words in (
        "NMSE",
        "L0",
        "dead",
        "validation split",
        f"next:  atomscope atlas --sae {out} --acts {store} -o ATLAS",
    ):
        assert words in said.err


def test_two_saes_and_their_settings(make_store, tmp_path: Path) -> None:
    store, out = make_store().path, tmp_path / "run"
    arguments = ["--sae", "sparsemax:values=probability", "--sae", "topk:k=3", "--scale", "2", "--loss", "nmse"]
    assert run(["train", "--acts", str(store), "-o", str(out), *QUICK, *arguments]) == 0
    assert load_sae(out / "topk").config == TopKConfig(
        d_model=16, n_atoms=40, k=3, loss="nmse", init="spread", normalise="standardise"
    )
    one = load_sae(out / "sparsemax").config
    assert (one.values, one.scale, one.loss) == ("probability", 2.0, "nmse")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sae", "jump"], "unknown SAE architecture 'jump'"),
        (["--sae", "topk:k=100"], "k must lie in 1 .. n_atoms"),
        (["--sae", "topk:z=1"], "unknown setting 'z'"),
        (["--atoms", "0"], "n_atoms must be at least 1"),
        (["--lr", "-1"], "lr must be positive"),
        (["--scale", "nan"], "nan is not a number"),
        (["--epochs", "inf"], "inf is not a number"),
        (["--values", "dense"], "values must be one of score, probability"),
        (["--device", "cuda:99"], "--device cpu"),
        (["--precision", "bf16"], "--precision bf16 is for GPUs"),
        (["--precision", "int4"], "precision must be float32 or bf16"),
        (["--split", "atoms"], "share the tokens or the dictionary, not 'atoms'"),
        (["--dtype", "int4"], "dtype must be float32, float16 or int8"),
    ],
)
def test_wrong_arguments_are_one_sentence(
    make_store, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert run(["train", "--acts", str(make_store().path), "-o", str(tmp_path / "run"), *QUICK, *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in " ".join(said.split()) and "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_a_store_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--acts", str(tmp_path / "none"), "-o", str(tmp_path / "run")]) == 2
    assert "Traceback" not in capsys.readouterr().err
