"""From texts to a measured atlas on the command line, with a tiny random language model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.activations import ActivationStore
from engine.atlas import Atlas
from engine.atlas.validation import validate_atlas
from engine.cli.main import run
from tests.engine.backbones.language_models import save_language_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language_model(tmp_path_factory.mktemp("model"), "gpt2")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.csv"
    rows = [
        f'"text number {i}, about {"cats" if i % 2 else "dogs"}",{("train", "train", "test")[i % 3]}' for i in range(60)
    ]
    file.write_text("text,split\n" + "\n".join(rows) + "\n")
    return file


def test_texts_to_a_measured_atlas(
    model: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folder, atlas = (tmp_path / name for name in ("store", "run", "atlas"))
    extract = ["extract", "--texts", str(texts), "--model", str(model), "--layer", "1", "--context", "16"]
    assert run([*extract, "-o", str(store), "--device", "cpu"]) == 0
    opened = ActivationStore.open(store)
    said = " ".join(capsys.readouterr().err.split())
    assert "block 1 of 0-2, residual, 16 positions of width 16" in said
    assert f"{opened.n_items} chunks, {opened.n_tokens:,} activations of width 16" in said
    train = ["train", "--acts", str(store), "--atoms", "64", "-o", str(folder), "--tokens", "4096", "--batch", "256"]
    assert run([*train, "--warmup", "2", "--device", "cpu"]) == 0
    assert run(["atlas", "--sae", str(folder), "--acts", str(store), "-o", str(atlas), "--no-layout"]) == 0
    assert validate_atlas(atlas) == []
    capsys.readouterr()
    measure = ["evaluate", str(atlas), "--acts", str(store), "--fidelity", "--json", "--write", "--device", "cpu"]
    assert run(measure) == 0
    (figures,) = json.loads(capsys.readouterr().out)["saes"].values()
    losses = {name: figures["fidelity"][name]["cross_entropy"] for name in ("original", "spliced", "zero", "mean")}
    assert all(loss > 0 for loss in losses.values())
    assert figures["tokens"] == len(opened.rows("test")) * 16
    # Without the store the atlas's own tokens are run through the model again.
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    assert run([word for word in measure if word not in ("--acts", str(store), "--write")]) == 0
    (again,) = json.loads(capsys.readouterr().out)["saes"].values()
    assert again["fvu"] == pytest.approx(figures["fvu"], rel=1e-3)
    assert again["fidelity"]["spliced"]["cross_entropy"] == pytest.approx(losses["spliced"], rel=1e-3)
    assert Atlas.open(atlas).meta["measured"]["test"]["fidelity"] == figures["fidelity"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--texts", "TEXTS", "--corpus", "."],
            "Name the pictures with --images DIR or --corpus DIR, or texts with --texts",
        ),
        (["--images", ".", "--context", "8"], "--context goes with --texts"),
        (["--texts", "TEXTS", "--context", "5000"], "--context must be 2 to 62 tokens"),
        (["--texts", "nowhere.txt"], "nowhere.txt does not exist"),
    ],
)
def test_bad_arguments_are_one_sentence(
    model: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    given = [str(texts) if word == "TEXTS" else word for word in arguments]
    assert run(["extract", *given, "--model", str(model), "-o", str(tmp_path / "store"), "--device", "cpu"]) == 2
    captured = capsys.readouterr()
    assert sentence in " ".join(captured.err.split()) and "Traceback" not in captured.err
