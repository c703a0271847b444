"""Vision backbones that shuffle, drop or move patches are refused when they are loaded; the usual ones are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.backbones import load_backbone
from engine.backbones.patch_order import check_patches
from engine.errors import InputError

PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


@pytest.mark.parametrize("ratio", [0.0, 0.75])
def test_a_model_that_shuffles_is_refused(tmp_path: Path, ratio: float) -> None:
    import transformers as t

    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 8}
    config = t.ViTMAEConfig(**sizes, intermediate_size=32, image_size=32, mask_ratio=ratio)
    t.ViTMAEModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    with pytest.raises(InputError, match="cannot be laid over a picture"):
        load_backbone(str(tmp_path), 0, device="cpu")


def test_a_shuffling_model_is_named_as_one() -> None:
    with pytest.raises(
        InputError, match=r"^m gives other activations each time .* shuffles or masks patches at random"
    ):
        check(Tower(order=None))


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2", "dinov2-registers", "dinov3", "vit"])
def test_the_usual_models_pass(kind: str, checkpoint: Callable[[str], str]) -> None:
    for layer in (0, -1):
        load_backbone(checkpoint(kind), layer, device="cpu")


class Tower(nn.Module):
    """Patches of 8 x 8 of a 24 x 16 picture, in ``order`` (None: another each time), behind a class token."""

    def __init__(self, order: list[int] | None, deaf: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.order, self.deaf = order, deaf
        self.embed = nn.Conv2d(3, 6, 8, 8)
        self.layers = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])

    def forward(self, pixels: Tensor) -> Tensor:
        stream = self.embed(pixels).flatten(2).transpose(1, 2)
        stream = stream[:, torch.randperm(6) if self.order is None else self.order]
        if self.deaf:
            stream = torch.zeros_like(stream)
        stream = torch.cat([torch.ones_like(stream[:, :1]), stream], dim=1)
        for layer in self.layers:
            stream = stream + layer(stream)
        return stream


def check(tower: nn.Module) -> None:
    check_patches(tower, list(tower.layers)[1], 2, (24, 16), (3, 2), "m")  # type: ignore[arg-type]


def test_patches_in_another_order_are_refused() -> None:
    check(Tower([0, 1, 2, 3, 4, 5]))
    with pytest.raises(InputError, match=r"^m does not keep the patches .* \(patch 1 changes position 3\)"):
        check(Tower([0, 2, 4, 1, 3, 5]))  # columns first
    with pytest.raises(InputError, match="does not keep the patches"):
        check(Tower([0, 1, 2, 3, 5, 4]))
    with pytest.raises(InputError, match="does not keep the patches"):
        check(Tower([0, 1, 2, 3, 4, 5], deaf=True))
