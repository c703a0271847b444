"""The trained part of the demo's embedder: sentence embeddings and CLIP image embeddings into one common space."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.errors import InputError
from engine.files import atomic_path, read_json, write_json

WEIGHTS, CONFIG = "adapter.safetensors", "config.json"


@dataclass(frozen=True, kw_only=True)
class AdapterShape:
    """Widths: of a sentence embedding, the hidden layer, an image embedding (and the common space)."""

    sentence: int = 384
    hidden: int = 1024
    image: int = 512


class Adapter(nn.Module):
    """A text MLP with one hidden layer and a linear image map that begins as the identity.

    The common space has the width of the image embedding. ``scale`` is the learned temperature's inverse (its logarithm);
    it matters in training only.
    """

    def __init__(self, shape: AdapterShape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.dropout = dropout
        self.inner = nn.Linear(shape.sentence, shape.hidden)
        self.outer = nn.Linear(shape.hidden, shape.image)
        self.image_map = nn.Linear(shape.image, shape.image)
        nn.init.eye_(self.image_map.weight)
        nn.init.zeros_(self.image_map.bias)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def text(self, sentences: Tensor) -> Tensor:
        """Sentence embeddings [N, 384] to unit rows [N, 512]."""
        hidden = F.dropout(F.gelu(self.inner(sentences)), self.dropout, self.training)
        return F.normalize(self.outer(hidden), dim=-1)

    def image(self, embeddings: Tensor) -> Tensor:
        """CLIP image embeddings [N, 512] to unit rows [N, 512]."""
        return F.normalize(self.image_map(embeddings), dim=-1)


def merge_adapters(members: list[Adapter]) -> Adapter:
    """One adapter whose output before scaling is the mean of its members', which began from the same image map.

    Their hidden layers stand side by side in one wider layer; the mean of their linear image maps is a linear map.
    """
    shape = replace(members[0].shape, hidden=sum(member.shape.hidden for member in members))
    merged = Adapter(shape)
    with torch.no_grad():
        merged.inner.weight.copy_(torch.cat([member.inner.weight for member in members]))
        merged.inner.bias.copy_(torch.cat([member.inner.bias for member in members]))
        merged.outer.weight.copy_(torch.cat([member.outer.weight for member in members], dim=1) / len(members))
        merged.outer.bias.copy_(torch.stack([member.outer.bias for member in members]).mean(0))
        merged.image_map.weight.copy_(torch.stack([member.image_map.weight for member in members]).mean(0))
        merged.image_map.bias.copy_(torch.stack([member.image_map.bias for member in members]).mean(0))
    return merged.eval().requires_grad_(False)


def save_adapter(adapter: Adapter, folder: Path, record: dict[str, Any]) -> None:
    """Write weights (float16) and ``config.json`` with the shape and ``record``."""
    tensors = {name: value.detach().half().contiguous().cpu() for name, value in adapter.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
    write_json(folder / CONFIG, {"shape": asdict(adapter.shape)} | record)


def load_adapter(folder: Path) -> tuple[Adapter, dict[str, Any]]:
    """The adapter in evaluation mode, float32, and its record.

    Raises
    ------
    InputError
        If the folder holds no adapter.
    """
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder} holds no trained text adapter. Make it with: atomscope demo build retrieval")
    record = read_json(folder / CONFIG)
    adapter = Adapter(AdapterShape(**record["shape"]))
    adapter.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS).items()})
    return adapter.eval().requires_grad_(False), record
