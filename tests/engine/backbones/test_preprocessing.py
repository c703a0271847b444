"""Pixels as the checkpoint's processor makes them, and a view on which patch heat maps line up."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.backbones import load_backbone

Checkpoint = Callable[[str], str]


def picture(width: int = 150, height: int = 90) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (height // 10, width // 10, 3), dtype=np.uint8)
    return Image.fromarray(np.kron(values, np.ones((10, 10, 1), np.uint8)))


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2", "dinov3", "vit"])
def test_the_view_is_the_pixels_without_normalisation(kind: str, checkpoint: Checkpoint) -> None:
    backbone = load_backbone(checkpoint(kind), device="cpu")
    view = backbone.view(picture())
    height, width = backbone.spec.image_size
    assert (view.size, view.mode) == ((width, height), "RGB")
    values = torch.from_numpy(np.asarray(view).astype(np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(backbone.spec.preprocessing[key])[:, None, None] for key in ("image_mean", "image_std"))
    torch.testing.assert_close(backbone.preprocess([picture()])[0], (values - mean) / std, rtol=0, atol=2e-6)


def test_a_wide_picture_is_cropped_to_its_middle(checkpoint: Checkpoint) -> None:
    """A mark in the middle third stays, marks at the ends go: CLIP resizes the short side and crops the long one."""
    wide = Image.new("RGB", (96, 32), "black")
    wide.paste((255, 0, 0), (0, 0, 30, 32))
    wide.paste((0, 255, 0), (40, 8, 48, 16))
    view = np.asarray(load_backbone(checkpoint("clip"), device="cpu").view(wide))
    assert view[..., 0].max() == 0
    green = np.argwhere(view[..., 1] > 128)
    assert (green.min(0).tolist(), green.max(0).tolist()) == (
        [8, 8],
        [15, 15],
    )  # exactly patch (1, 1) of the 4 x 4 grid


def test_batches_of_several_sizes_and_modes(checkpoint: Checkpoint) -> None:
    backbone = load_backbone(checkpoint("clip"), device="cpu")
    images = [picture(), picture(60, 200), picture().convert("L"), picture(30, 30)]
    pixels = backbone.preprocess(images)
    assert (pixels.shape, pixels.dtype) == ((4, 3, 32, 32), torch.float32)
    assert torch.equal(pixels[1], backbone.preprocess(images[1:2])[0])


def test_a_processor_that_needs_torchvision_is_replaced_by_its_own_values(checkpoint: Checkpoint) -> None:
    steps = load_backbone(checkpoint("dinov3"), device="cpu").spec.preprocessing
    assert steps["source"] == "fallback"
    assert (steps["size"], steps["image_mean"]) == ({"height": 32, "width": 32}, [0.5, 0.4, 0.3])


@pytest.mark.parametrize(("kind", "mean"), [("clip", 0.48145466), ("siglip", 0.5), ("dinov2", 0.485), ("vit", 0.5)])
def test_without_a_processor_the_family_decides(kind: str, mean: float, checkpoint: Checkpoint, tmp_path: Path) -> None:
    shutil.copytree(checkpoint(kind), tmp_path / kind)
    (tmp_path / kind / "preprocessor_config.json").unlink()
    backbone = load_backbone(str(tmp_path / kind), device="cpu")
    assert backbone.spec.preprocessing["source"] == "fallback"
    assert backbone.spec.preprocessing["image_mean"][0] == pytest.approx(mean)
    assert backbone.preprocess([picture()]).shape[1:] == (3, *backbone.spec.image_size)


def test_a_processor_that_keeps_the_aspect_ratio_is_made_square(checkpoint: Checkpoint, tmp_path: Path) -> None:
    shutil.copytree(checkpoint("vit"), tmp_path / "vit")
    path = tmp_path / "vit" / "preprocessor_config.json"
    path.write_text(
        '{"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "do_center_crop": false}'
    )
    backbone = load_backbone(str(tmp_path / "vit"), device="cpu")
    assert backbone.spec.preprocessing["size"] == {"height": 32, "width": 32}
    assert backbone.view(picture()).size == (32, 32)
