"""From picture to pixels: the model's own image processor, and the picture exactly as the model sees it.

``transformers`` processors are used in their Pillow form, so the numbers do not depend on whether torchvision is
installed. Where a checkpoint brings no processor, or one that exists for torchvision only (DINOv3), the same steps are
done here from the values in ``preprocessor_config.json``, or from the published values of the model's family; the
spec then says ``"source": "fallback"``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, PretrainedConfig
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from transformers.utils.constants import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)
from transformers.utils.hub import cached_file

from engine.backbones.checkpoints import CheckpointSource
from engine.errors import InputError

_RECORDED = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)

# Mean and deviation each family was trained with, for checkpoints that ship without a processor.
_STATISTICS = {
    "clip": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
    "metaclip": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
    "dino": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    "deit": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
    "ijepa": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
}
_OTHER = (IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD)


class Preprocessor:
    """Turns pictures of any size into pixels of one fixed size.

    Attributes
    ----------
    size : (int, int)
        Height and width of the pixels.
    """

    def __init__(self, processor: BaseImageProcessor, source: str, image_size: tuple[int, int] | None) -> None:
        self._processor = processor
        self._source = source
        self._forced: dict[str, Any] = {}
        tall, wide = (self._shape(Image.new("RGB", size)) for size in ((64, 96), (96, 64)))
        if tall != wide:
            # A processor that keeps the aspect ratio gives every picture its own grid; a store needs one for all.
            if image_size is None:
                raise ValueError("its image processor gives every picture its own size")
            self._forced = {"size": {"height": image_size[0], "width": image_size[1]}, "do_center_crop": False}
            tall = self._shape(Image.new("RGB", (64, 96)))
        self.size: tuple[int, int] = tall

    def pixels(self, images: Sequence[Image.Image]) -> Tensor:
        """Normalised pixels, float32 [B, 3, H, W], of RGB pictures of any size."""
        batch = self._run(list(images))
        return torch.from_numpy(np.ascontiguousarray(np.stack(batch), dtype=np.float32))

    def view(self, image: Image.Image) -> Image.Image:
        """The picture as the model sees it: resized and cropped like the pixels, not normalised; H x W, RGB."""
        (array,) = self._run([image], do_rescale=False, do_normalize=False)
        return Image.fromarray(np.ascontiguousarray(np.moveaxis(np.asarray(array, np.uint8), 0, -1)))

    def to_dict(self) -> dict[str, Any]:
        """The steps and their values, JSON-ready."""
        values = self._processor.to_dict() | self._forced
        kept = {key: values[key] for key in _RECORDED if values.get(key) is not None}
        record = {"processor": type(self._processor).__name__, "source": self._source, **kept}
        return dict(json.loads(json.dumps(record, default=dict)))

    def _run(self, images: list[Image.Image], **options: Any) -> list[np.ndarray]:
        images = [image if image.mode == "RGB" else image.convert("RGB") for image in images]
        return list(self._processor(images=images, return_tensors=None, **self._forced, **options)["pixel_values"])

    def _shape(self, image: Image.Image) -> tuple[int, int]:
        (array,) = self._run([image])
        if array.ndim != 3 or array.shape[0] != 3:
            raise ValueError("its image processor does not give one RGB picture")
        return int(array.shape[1]), int(array.shape[2])


def load_preprocessor(source: CheckpointSource, vision: PretrainedConfig) -> Preprocessor:
    """The image processor of a checkpoint.

    Parameters
    ----------
    vision : PretrainedConfig
        Config of the vision tower. Its ``model_type`` picks the statistics when the checkpoint has none, its ``image_size``
        is used where the processor gives none.

    Raises
    ------
    InputError
        If the processor cannot give pictures of one size.
    """
    image_size = getattr(vision, "image_size", None)
    size = (int(image_size), int(image_size)) if isinstance(image_size, (int, float)) else image_size
    fixed = (int(size[0]), int(size[1])) if size is not None else None
    try:
        try:
            processor = AutoImageProcessor.from_pretrained(source.location, backend="pil", **source.access)
        except (ImportError, OSError, ValueError, AttributeError):
            return Preprocessor(_fallback(source, vision.model_type, fixed), "fallback", fixed)
        return Preprocessor(processor, "checkpoint", fixed)
    except ValueError as error:
        raise InputError(f"{source.name} cannot be used: {error}.") from error


def _fallback(source: CheckpointSource, model_type: str, size: tuple[int, int] | None) -> BaseImageProcessor:
    values = _stored_values(source)
    if not values:
        if size is None:
            raise ValueError("it has no image processor and its config names no image size")
        mean, std = next((v for family, v in _STATISTICS.items() if family in model_type), _OTHER)
        if "siglip" in model_type:
            mean, std = _OTHER
        values = {"size": {"height": size[0], "width": size[1]}, "resample": 3, "image_mean": mean, "image_std": std}
    return ViTImageProcessorPil(**{key: value for key, value in values.items() if key in _RECORDED})


def _stored_values(source: CheckpointSource) -> dict[str, Any]:
    try:
        name = "preprocessor_config.json"
        path = cached_file(source.location, name, _raise_exceptions_for_missing_entries=False, **source.access)
        return dict(json.loads(Path(path).read_text("utf-8"))) if path else {}
    except (OSError, ValueError):
        return {}
