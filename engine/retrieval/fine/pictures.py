"""Pictures as the model sees them: preprocessed once, read once by the vision tower, kept while there is room.

The vision tower is by far the dearest part of a fine score and its output depends on the picture alone. It is handed back
to the model through ``mm_encoder_outputs``; what else the model wants to know of a picture (its grid) is kept beside it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from engine.errors import AtomscopeError
from engine.lru_cache import LRUCache
from engine.retrieval.fine.model import Mllm
from engine.retrieval.fine.picture import PreparedPicture
from engine.retrieval.fine.picture_store import PictureStore

_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "text_replacement_offsets")


@dataclass
class ImageCache:
    """All pictures one model has seen lately.

    One cache belongs to one model with one preprocessing, so a picture's key is enough to find it again.

    Attributes
    ----------
    store : PictureStore
        Pictures read ahead of any search. It is only looked into here; ``preparation`` fills it.
    share : bool
        Whether this architecture takes a vision output that was computed before. Where it does not, pixels are given anew
        with every prompt.
    kept : LRUCache
        The pictures, by key.
    """

    mllm: Mllm
    limit: int
    store: PictureStore
    share: bool = True
    kept: LRUCache[str, PreparedPicture] = field(init=False)

    def __post_init__(self) -> None:
        self.kept = LRUCache(self.limit)
        self.share = "mm_encoder_outputs" in inspect.signature(self.mllm.model.forward).parameters

    def get(self, key: str, image: Callable[[], Image.Image]) -> PreparedPicture:
        """The picture under ``key``; ``image`` is called only if it is not in the cache.

        Raises
        ------
        UnreadableItem
            Whatever ``image`` raises.
        AtomscopeError
            If the model's processor cannot read the picture.
        """
        found = self.kept.get(key) if key else None
        if found is not None:
            found.reused = found.encoded is not None
            return found
        if key and self.share and (kept := self.store.get(key, self.mllm.device)) is not None:
            picture = PreparedPicture(key, *kept, reused=True)
            self._keep(picture)
            return picture
        return self._prepare(key, image())

    @torch.inference_mode()
    def encode(self, pictures: Sequence[PreparedPicture]) -> None:
        """Run the vision tower on those pictures that have not been through it, alike ones together, and keep them.

        Raises
        ------
        NotImplementedError
            If the tower gives nothing that could be handed back.
        """
        if not self.share:
            return
        groups: dict[Any, list[PreparedPicture]] = {}
        for picture in {id(picture): picture for picture in pictures if picture.encoded is None}.values():
            shapes = tuple((name, tuple(value.shape)) for name, value in sorted(picture.inputs.items()))
            groups.setdefault(shapes, []).append(picture)
        for alike in groups.values():
            inputs = {name: torch.cat([p.inputs[name] for p in alike]) for name in alike[0].inputs}
            output = self.tower(inputs)
            for number, picture in enumerate(alike):
                picture.encoded = {name: _part(value, number, len(alike)) for name, value in output.items()}
                picture.inputs = picture.grids
                if picture.key:
                    self._keep(picture)

    def inputs(self, pictures: Sequence[PreparedPicture]) -> dict[str, Any]:
        """What the model's forward gets for these pictures, in the order they stand in the batch."""
        if not pictures:
            return {}
        found: dict[str, Any] = {
            name: torch.cat([picture.inputs[name] for picture in pictures]) for name in pictures[0].inputs
        }
        if self.share:
            parts = [picture.encoded or {} for picture in pictures]
            joined = {name: _join([part[name] for part in parts]) for name in parts[0]}
            found["mm_encoder_outputs"] = {"image": EncoderOutput(**joined)}
        return found

    def clear(self) -> None:
        """Forget all pictures."""
        self.kept.clear()

    def _keep(self, picture: PreparedPicture) -> None:
        self.kept.put(picture.key, picture, _size(picture.encoded) + _size(picture.inputs))

    def tower(self, inputs: dict[str, Tensor]) -> dict[str, Any]:
        """What the vision tower makes of preprocessed pictures: the fields that can be handed back to the model.

        Raises
        ------
        NotImplementedError
            If it gives no pooled features.
        """
        read = self.mllm.model.get_image_features
        known = inspect.signature(read).parameters
        named = {name: value for name, value in inputs.items() if name in known}
        output = read(**named, return_dict=True)
        if "pooler_output" not in output:
            raise NotImplementedError("the vision tower gives no pooled features")
        return {name: output[name] for name in ("pooler_output", "deepstack_features") if name in output}

    def _prepare(self, key: str, image: Image.Image) -> PreparedPicture:
        mark = self.mllm.image_token
        image = image if image.mode == "RGB" else image.convert("RGB")
        try:
            made = self.mllm.processor(text=[mark], images=[image], return_text_replacement_offsets=True)
            (replaced,) = made["text_replacement_offsets"][0]
        except (ValueError, RuntimeError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise AtomscopeError(f"The model's processor cannot read the picture: {error}") from error
        inputs = {name: self._tensor(value) for name, value in made.items() if name not in _TEXT}
        return PreparedPicture(key, str(replaced["replacement"]), inputs)

    def _tensor(self, value: Any) -> Tensor:
        tensor = torch.as_tensor(np.asarray(value)).to(self.mllm.device)
        return tensor.to(self.mllm.model.dtype) if tensor.is_floating_point() else tensor


@dataclass
class EncoderOutput(BaseModelOutputWithPooling):
    """A tower's output as the models read it. They read fields, and since transformers 5.24 call ``to_tuple``."""

    deepstack_features: list[Tensor] | None = None


def _part(value: Any, number: int, count: int) -> Any:
    """The share of picture ``number`` of ``count`` alike ones: a tensor's rows, or a list's elements; layers of them."""
    if isinstance(value, Tensor):
        return value.chunk(count)[number].clone()
    if isinstance(value[0], Tensor):
        each = len(value) // count
        return [part.clone() for part in value[number * each : (number + 1) * each]]
    return [_part(layer, number, count) for layer in value]


def _join(parts: Sequence[Any]) -> Any:
    """The inverse of :func:`_part`."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    if isinstance(parts[0][0], Tensor):
        return [tensor for part in parts for tensor in part]
    return [_join(layers) for layers in zip(*parts, strict=True)]


def _size(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(_size(part) for part in (value.values() if isinstance(value, dict) else value))
