"""``atomscope extract`` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.activations import ActivationStore
from engine.cli.main import run


def test_a_folder_of_images_becomes_a_store(
    image_folder: Path, tiny_clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image_folder / "round" / "torn.jpg").write_bytes((image_folder / "round" / "0.jpg").read_bytes()[:200])
    out = tmp_path / "stores" / "shapes"
    assert run(["extract", "--model", tiny_clip, "--images", str(image_folder), "-o", str(out), "--device", "cpu"]) == 0
    store = ActivationStore.open(out)
    assert (store.n_items, store.n_positions, store.d_model) == (6, 5, 16)
    assert set(store.items["label"]) == {"round", "square"}
    captured = capsys.readouterr()
    assert captured.out == ""
    said = " ".join(captured.err.split())
    assert "block 1 of 0-2, residual, 5 positions of width 16" in said
    assert "round/torn.jpg" in said
    assert "6 images, 30 activations of width 16 in float32, 0.00 GB, 1 skipped" in said
    assert "peak memory" in said
    assert f"next: atomscope train --acts {out} --sae sparsemax -o {tmp_path}/runs/shapes" in said


def test_options_reach_the_store(image_folder: Path, tiny_clip: str, tmp_path: Path) -> None:
    out = tmp_path / "store"
    options = ["--layer", "0", "--site", "mlp", "--tokens", "patches", "--dtype", "float16", "--limit", "4"]
    command = ["extract", "--model", tiny_clip, "--corpus", str(image_folder), "-o", str(out), "--batch-size", "2"]
    assert run([*command, "--device", "cpu", *options]) == 0
    store = ActivationStore.open(out)
    kept = {key: store.backbone[key] for key in ("layer_index", "site", "tokens", "prefix")}
    assert kept == {"layer_index": 0, "site": "mlp", "tokens": "patches", "prefix": 0}
    assert (store.dtype, store.n_items, store.n_positions) == ("float16", 4, 4)
    assert store.manifest["extraction"]["batch_size"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "x"], "Name the pictures with --images DIR or --corpus DIR, or texts with --texts FILE."),
        (["--images", "{images}", "--corpus", "{images}", "-o", "x"], "with --images DIR or --corpus DIR, or texts"),
        (["--corpus", "{images}", "--captions", "c.csv", "-o", "x"], "--captions goes with --images"),
        (["--images", "{empty}", "-o", "x"], "{empty}"),
        (["--images", "{images}", "--model", "./nowhere", "-o", "x"], "There is no model folder ./nowhere."),
        (["--images", "{images}", "--model", "{model}", "--layer", "9", "-o", "x"], "has no layer 9"),
        (["--images", "{images}", "--model", "{model}", "--site", "soul", "-o", "x"], "Unknown site 'soul'"),
        (["--images", "{images}", "--model", "{model}", "-o", "{images}"], "holds other files"),
    ],
)
def test_wrong_input_is_one_sentence_and_status_2(
    arguments: list[str],
    sentence: str,
    image_folder: Path,
    tiny_clip: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    names = {"images": str(image_folder), "empty": str(tmp_path / "empty"), "model": tiny_clip}
    assert run(["extract", *(argument.format(**names) for argument in arguments)]) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert sentence.format(**names) in errors[0]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "x").exists()


def test_no_network_is_status_1(image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tests run with the hub switched off."""
    command = ["extract", "--images", str(image_folder), "--model", "somebody/some-model", "-o", str(tmp_path / "x")]
    assert run(command) == 1
    assert "the model hub cannot be reached. Name a local folder" in capsys.readouterr().err
