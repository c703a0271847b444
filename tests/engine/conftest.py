"""Tiny, randomly initialised checkpoints of real architectures, as a user would have them, and running Python under torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "patch_size": 8}
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 40}


def _processor(name: str, height: int, width: int, **values: Any) -> dict[str, Any]:
    size = {"height": height, "width": width}
    steps = {"do_resize": True, "size": size, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255}
    normal = {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.25]}
    return {"image_processor_type": name, **steps, **normal, **values}


def _clip_processor() -> dict[str, Any]:
    crop = {"do_center_crop": True, "crop_size": {"height": 32, "width": 32}}
    return _processor("CLIPImageProcessor", 32, 32) | {"size": {"shortest_edge": 32}} | crop


def _build(kind: str) -> tuple[Any, dict[str, Any]]:
    import transformers as t

    wide = SIZES | {"image_size": 32, "intermediate_size": 64}
    match kind:
        case "clip":
            vision, text = wide | {"hidden_act": "quick_gelu"}, TEXT
            return t.CLIPModel(
                t.CLIPConfig(vision_config=vision, text_config=text, projection_dim=24)
            ), _clip_processor()
        case "clip-vision":
            return t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**wide, projection_dim=24)), _clip_processor()
        case "siglip":
            config = t.SiglipConfig(vision_config=wide, text_config=TEXT)
            return t.SiglipModel(config), _processor("SiglipImageProcessor", 32, 32)
        case "dinov2":
            config = t.Dinov2Config(**SIZES, image_size=40, mlp_ratio=2, layerscale_value=0.5)
            return t.Dinov2Model(config), _processor("BitImageProcessor", 32, 48, do_center_crop=False)
        case "dinov2-registers":
            config = t.Dinov2WithRegistersConfig(**SIZES, image_size=32, mlp_ratio=2, num_register_tokens=4)
            return t.Dinov2WithRegistersModel(config), _processor("BitImageProcessor", 32, 32, do_center_crop=False)
        case "dinov3":
            config = t.DINOv3ViTConfig(**wide, num_register_tokens=4, layerscale_value=0.5)
            return t.DINOv3ViTModel(config), _processor("DINOv3ViTImageProcessorFast", 32, 32)
        case "vit":
            return t.ViTForImageClassification(t.ViTConfig(**wide)), _processor("ViTImageProcessor", 32, 32)
        case _:
            raise AssertionError(kind)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """``checkpoint(kind)``: a folder with a tiny model of that kind; made once."""
    import torch

    root = tmp_path_factory.mktemp("checkpoints")

    def checkpoint(kind: str) -> str:
        folder: Path = root / kind
        if not folder.exists():
            torch.manual_seed(len(kind))
            model, processor = _build(kind)
            with torch.no_grad():  # the usual initialisation is so small that every layer would look alike
                for parameter in model.parameters():
                    parameter.add_(0.05 * torch.randn_like(parameter))
            model.save_pretrained(folder)
            (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        return str(folder)

    return checkpoint


@pytest.fixture(scope="session")
def pixels() -> Any:
    """Three random pictures as a model sees them, float32 [3, 3, 32, 32]."""
    import torch

    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def torchrun() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``torchrun(*arguments, processes=2)``: what follows ``torchrun --nproc-per-node 2``, on the CPU, one thread each."""

    def torchrun(*arguments: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
        return subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, cwd=ROOT)

    return torchrun
