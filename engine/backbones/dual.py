"""Dual encoders of ``transformers``: CLIP, SigLIP, SigLIP 2 (fixed resolution), MetaCLIP, ALIGN and their like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import MODEL_MAPPING, AutoModel, AutoTokenizer, PretrainedConfig

from engine.backbones.checkpoints import CheckpointSource, checkpoint_errors, revision_of, vision_config
from engine.backbones.preprocessing import load_preprocessor
from engine.backbones.quiet import quiet
from engine.backbones.vectors import Vectors, explain_out_of_memory, unit
from engine.device import pick_device
from engine.errors import InputError
from kernels.products import use_fast_linear

_BATCH = 16


def is_dual(config: PretrainedConfig) -> bool:
    """Whether the model of ``config`` embeds texts and images into one space."""
    kind: Any = MODEL_MAPPING.get(type(config), None)
    return all(hasattr(kind, method) for method in ("get_text_features", "get_image_features"))


class DualEncoder:
    """Text and image towers with a common space, float32.

    Raises
    ------
    InputError
        If the checkpoint does not fill its architecture, or its processor cannot be used.
    """

    modalities = frozenset(("text", "image"))

    def __init__(self, source: CheckpointSource, config: PretrainedConfig, device: str = "auto") -> None:
        self._device = pick_device(device)
        vision = vision_config(config, source.name)
        text = config.get_text_config()
        with quiet(), checkpoint_errors(source):
            self._tokenizer = AutoTokenizer.from_pretrained(source.location, **source.access)
            self._preprocessor = load_preprocessor(source, vision)
            model, report = AutoModel.from_pretrained(
                source.location, dtype="float32", output_loading_info=True, **source.access
            )
        if report["missing_keys"]:
            raise InputError(
                f"{source.name} does not fill its architecture: {len(report['missing_keys'])} parameters are missing "
                f"({min(report['missing_keys'])}), and embeddings of random weights would mean nothing."
            )
        self._model: Any = use_fast_linear(model.eval().requires_grad_(False)).to(self._device)
        scale = getattr(model, "logit_scale", None)
        self.logit_scale: float | None = None if scale is None else float(scale.exp())
        """Factor on cosines that the model was trained with; None where it has none."""
        # SigLIP reads texts padded to its full length: its embedding is that of the last place, padding included.
        self._padding: bool | str = "max_length" if config.model_type.startswith("siglip") else True
        self._longest = min(int(self._tokenizer.model_max_length), int(text.max_position_embeddings))
        self.identity: dict[str, Any] = {
            "name": source.name,
            "revision": revision_of(source),
            "architecture": type(model).__name__,
            "preprocessing": self._preprocessor.to_dict() | {"text_tokens": self._longest},
            "note": source.note,
        }
        self.width = self.embed_texts(["a picture"]).shape[1]

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32 [N, width]; a text longer than the model reads is cut there."""
        found = []
        for start in range(0, len(texts), _BATCH):
            inputs = self._tokenizer(
                list(texts[start : start + _BATCH]),
                padding=self._padding,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            ).to(self._device)
            with explain_out_of_memory(self.identity["name"]):
                found.append(_pooled(self._model.get_text_features(**inputs)))
        return self._joined(found)

    @torch.no_grad()
    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Unit rows, float32 [N, width]."""
        found = []
        for start in range(0, len(images), _BATCH):
            pixels = self._preprocessor.pixels(images[start : start + _BATCH]).to(self._device)
            with explain_out_of_memory(self.identity["name"]):
                found.append(_pooled(self._model.get_image_features(pixel_values=pixels)))
        return self._joined(found)

    def _joined(self, parts: list[Vectors]) -> Vectors:
        return unit(np.concatenate(parts)) if parts else np.zeros((0, self.width), np.float32)


def _pooled(output: Any) -> Vectors:
    """The projected embedding [B, d]; transformers 5 wraps it in an output, older ones gave the tensor."""
    values = output if isinstance(output, torch.Tensor) else output.pooler_output
    array: Vectors = values.float().cpu().numpy()
    return array
