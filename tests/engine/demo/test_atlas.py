"""The demo atlas, from a small corpus and a tiny model of the real architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.atlas import Atlas
from engine.atlas.validation import validate_atlas
from engine.corpus.shard_writer import write_parquet_corpus
from engine.demo.atlas import Recipe, build_demo_atlas
from engine.errors import InputError
from engine.progress import SilentProgress
from engine.training import TrainConfig


@pytest.fixture
def corpus(tmp_path: Path, encode: Callable[..., bytes]) -> Path:
    rng = np.random.default_rng(0)
    rows = [
        {
            "id": f"noise/{i:02d}",
            "image": encode(Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))),
            "caption": f"Noise number {i}.",
            "label": "even" if i % 2 == 0 else "odd",
            "split": "test" if i % 3 == 0 else "train",
        }
        for i in range(30)
    ]
    write_parquet_corpus(tmp_path / "corpus", "noise", rows)
    return tmp_path / "corpus"


@pytest.mark.slow
def test_from_pictures_to_a_sound_atlas(corpus: Path, tiny_clip: str, tmp_path: Path) -> None:
    training = TrainConfig(tokens=600, batch_tokens=48, device="cpu")
    recipe = Recipe(model=tiny_clip, n_atoms=12, training=training)
    out = build_demo_atlas(tmp_path / "atlas", SilentProgress(), corpus, tmp_path / "work", recipe)
    atlas = Atlas.open(out)
    assert validate_atlas(out) == []
    assert atlas.meta["corpus"]["path"] == "../corpus"
    measured = atlas.meta["measured"]["test"]
    assert measured["items"] == 10
    assert measured["baselines"]["topk"]["l0_mean"] == max(round(measured["l0_mean"]), 1)
    with pytest.raises(InputError, match="exists. Delete it"):
        build_demo_atlas(out, SilentProgress(), corpus, tmp_path / "work", recipe)


def test_it_must_lie_beside_its_corpus(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must lie beside"):
        build_demo_atlas(tmp_path / "elsewhere" / "atlas", SilentProgress(), corpus, tmp_path / "work")
