"""``atomscope atlas`` from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.activations import extract
from engine.atlas import Atlas
from engine.atlas.validation import validate_atlas
from engine.backbones import load_backbone
from engine.cli.main import run
from engine.corpus import open_corpus
from engine.sae import SparsemaxConfig, build_sae, save_sae


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, a tiny vision model, its activations, and an SAE over them."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    for label in ("dark", "bright"):
        (root / "pictures" / label).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 128, (40, 56, 3)) + (127 if label == "bright" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(root / "pictures" / label / f"{i}.png")
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=12,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(root / "model")
    extract(load_backbone(str(root / "model"), device="cpu"), open_corpus(root / "pictures"), root / "store")
    for name, scale in (("sae", 2.0), ("other", 4.0)):
        save_sae(build_sae(SparsemaxConfig(d_model=16, n_atoms=24, scale=scale), 0), root / name)
    return root


@pytest.fixture
def command(world: Path, tmp_path: Path) -> Callable[..., int]:
    """Runs ``atomscope atlas`` with further arguments."""

    def call(*further: str) -> int:
        given = ["--sae", str(world / "sae"), "--acts", str(world / "store"), "-o", str(tmp_path / "atlas")]
        return run(["atlas", *given, *further])

    return call


def test_an_atlas_of_ones_own_pictures(
    world: Path, tmp_path: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--title", "Light", "--top-n", "3", "--sample", "2", "--baseline", f"other={world / 'other'}") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"next:  atomscope serve --atlas {tmp_path / 'atlas'}" in printed.err
    assert "24 atoms" in printed.err
    atlas = Atlas.open(tmp_path / "atlas")
    assert validate_atlas(atlas.path) == []
    assert (atlas.title, atlas.baselines, len(atlas.sampled_items)) == ("Light", ["other"], 2)
    live = atlas.atoms.index[atlas.atoms["firing_count"] > 0]
    assert all(len(atlas.exemplars(int(atom), "top")) <= 3 for atom in live)
    assert set(atlas.items["label"]) == {"bright", "dark"}
    assert "pictures" not in (tmp_path / "atlas" / "atlas.json").read_text().replace('"name": "pictures"', ""), (
        "an atlas must not hold paths of the machine it was made on"
    )


def test_thumbnails_are_what_the_model_saw(world: Path, tmp_path: Path, command: Callable[..., int]) -> None:
    import io

    assert command("--no-layout") == 0
    atlas = Atlas.open(tmp_path / "atlas")
    backbone, corpus = load_backbone(str(world / "model"), device="cpu"), open_corpus(world / "pictures")
    assert atlas.meta["thumbs"] == {"kind": "shards", "size": 224}
    for item in range(atlas.n_items):
        seen = np.asarray(backbone.view(corpus.load(int(atlas.items["corpus_index"][item]))), np.float64)
        with Image.open(io.BytesIO(atlas.thumbnail(item))) as image:
            shown = np.asarray(image.convert("RGB"), np.float64)
        assert shown.shape == seen.shape == (32, 32, 3)
        # WebP at this quality loses detail of pure noise; the place and the brightness stay.
        assert abs(shown.mean() - seen.mean()) < 4


def test_wrong_arguments_are_one_sentence_and_status_2(
    world: Path, tmp_path: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        text = capsys.readouterr().err
        assert text.count("error: ") == 1 and "Traceback" not in text
        return text

    assert command("--baseline", "topk") == 2
    assert "--baseline takes NAME=RUN" in said()
    assert command("--baseline", f"a/b={world / 'other'}") == 2
    assert "becomes a folder" in said()
    assert command("--top-n", "0") == 2
    assert "top_n must be at least 1" in said()
    assert run(["atlas", "--sae", str(world / "sae"), "--acts", str(tmp_path), "-o", str(tmp_path / "atlas")]) == 2
    assert "store" in said()
    assert run(["atlas", "--sae", str(tmp_path), "--acts", str(world / "store"), "-o", str(tmp_path / "atlas")]) == 2
    assert "holds no trained SAE" in said()
    assert not (tmp_path / "atlas").exists()


def test_a_full_disk_is_one_sentence_and_the_work_goes_on(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("engine.atlas.build.sample.save_array", refuse)
    given = ["--sae", str(world / "sae"), "--acts", str(world / "store"), "-o", str(tmp_path / "atlas"), "--no-layout"]
    assert run(["atlas", *given]) == 1
    error = capsys.readouterr().err
    assert "No space left while writing" in error and "Traceback" not in error
    monkeypatch.undo()
    assert run(["atlas", *given]) == 0, "the same command goes on once there is space"
