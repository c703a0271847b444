"""Thumbnails: the same view as the backbone's, from its record alone; and what happens when the pictures are gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from engine.activations import ActivationStore
from engine.atlas.build.thumbs import open_pictures, viewer
from engine.backbones.preprocessing import Preprocessor
from engine.corpus import open_corpus
from engine.progress import SilentProgress

PROCESSORS: dict[str, Callable[[], Any]] = {
    "clip": lambda: CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
    "siglip": lambda: SiglipImageProcessorPil(size={"height": 24, "width": 32}),
}


@pytest.mark.parametrize("name", sorted(PROCESSORS))
@pytest.mark.parametrize("shape", [(50, 90), (90, 50), (32, 32), (7, 5)])
def test_the_record_gives_the_same_view(name: str, shape: tuple[int, int]) -> None:
    preprocessor = Preprocessor(PROCESSORS[name](), "checkpoint", None)
    backbone = {"preprocessing": json.loads(json.dumps(preprocessor.to_dict())), "image_size": list(preprocessor.size)}
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8))
    assert np.array_equal(np.asarray(viewer(backbone)(image)), np.asarray(preprocessor.view(image)))


def point_at(store: ActivationStore, path: Path, digest: str) -> ActivationStore:
    """The store as if it had been made from the corpus at ``path``."""
    store.corpus.update(path=str(path), hash=digest)
    return store


def test_pictures_that_are_gone_or_have_changed_are_a_warning(tmp_path: Path, store: ActivationStore) -> None:
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "pictures" / f"{i}.png")
    corpus = open_corpus(tmp_path / "pictures")
    progress = SilentProgress()
    assert open_pictures(point_at(store, tmp_path / "pictures", corpus.hash), progress) is not None
    assert progress.warnings == []
    assert open_pictures(point_at(store, tmp_path / "pictures", "0" * 64), progress) is None
    assert "have changed since" in progress.warnings.pop()
    assert open_pictures(point_at(store, tmp_path / "nowhere", corpus.hash), progress) is None
    assert "no longer at" in progress.warnings.pop()
