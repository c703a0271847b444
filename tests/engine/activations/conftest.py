"""A tiny CLIP as a backbone, and corpora of small pictures, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.backbones import Backbone
from engine.corpus import Corpus


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a randomly initialised CLIP image tower: 3 blocks, width 16, 2 x 2 patches."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = CLIPVisionConfig(**shape, image_size=16, patch_size=8, projection_dim=8)
    folder = tmp_path_factory.mktemp("tiny-clip")
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    size = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=size).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def backbone(tiny_model: str) -> Backbone:
    from engine.backbones import load_backbone

    return load_backbone(tiny_model, device="cpu")


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Corpus]:
    """``pictures(count, bad=(...))``: a corpus of random pictures in two labels; those of ``bad`` are no pictures."""
    import numpy as np
    from PIL import Image

    from engine.corpus import open_corpus

    def pictures(count: int, bad: tuple[int, ...] = (), name: str = "corpus") -> Corpus:
        random = np.random.default_rng(count)
        for index in range(count):
            path = tmp_path / name / ("even" if index % 2 == 0 else "odd") / f"{index:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(path)
            if index in bad:
                path.write_bytes(path.read_bytes()[:60])
        return open_corpus(tmp_path / name)

    return pictures
