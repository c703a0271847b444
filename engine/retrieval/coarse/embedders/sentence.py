"""Text and image embedders of the sentence-transformers library, an optional extra."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers.utils.hub import cached_file

from engine.backbones.checkpoints import CheckpointSource, checkpoint_errors
from engine.backbones.quiet import quiet
from engine.backbones.vectors import Vectors, explain_out_of_memory, unit
from engine.device import pick_device
from engine.errors import AtomscopeError, InputError
from engine.files import sha256
from engine.retrieval.coarse.embedders.base import missing_modality

_LAYOUT = "modules.json"


def is_sentence_model(source: CheckpointSource) -> bool:
    """Whether a folder or hub repository is laid out as sentence-transformers saves a model."""
    if Path(source.location).is_dir():
        return (Path(source.location) / _LAYOUT).is_file()
    try:
        found = cached_file(
            source.location, _LAYOUT, local_files_only=source.offline, _raise_exceptions_for_missing_entries=False
        )
    except OSError:  # no such repository or no network: loading the config says which, in one sentence
        return False
    return found is not None


def require_sentence_transformers() -> Any:
    """The library's module.

    Raises
    ------
    AtomscopeError
        If it is not installed.
    """
    try:
        return import_module("sentence_transformers")
    except ImportError as error:
        raise AtomscopeError(
            f"This model needs the sentence-transformers library ({error}). Install it with: "
            "pip install 'atomscope[rerank]'"
        ) from error


class SentenceTransformerEmbedder:
    """A ``SentenceTransformer``: text only, or texts and images where the model takes both (CLIP, Qwen3-VL-Embedding)."""

    def __init__(self, source: CheckpointSource, device: str = "auto") -> None:
        library = require_sentence_transformers()
        with quiet(), checkpoint_errors(source):
            self._model = library.SentenceTransformer(
                source.location, device=str(pick_device(device)), local_files_only=source.offline
            )
        self._name = source.name
        self.modalities = frozenset(("text", "image")) if _sees(self._model) else frozenset(("text",))
        self.identity: dict[str, Any] = {
            "name": source.name,
            "revision": _revision(source),
            "architecture": f"SentenceTransformer ({', '.join(type(part).__name__ for part in self._model)})",
            "preprocessing": {"text_tokens": self._model.max_seq_length},
            "note": source.note,
        }
        self.width = self.embed_texts(["a picture"]).shape[1]

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32 [N, width]."""
        return self._encode(list(texts))

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Unit rows, float32 [N, width]. Raises ``InputError`` if the model reads texts only."""
        if "image" not in self.modalities:
            raise missing_modality(self._name, "image")
        return self._encode(list(images))

    def _encode(self, items: list[Any]) -> Vectors:
        with explain_out_of_memory(self._name):
            found = self._model.encode(items, convert_to_numpy=True, show_progress_bar=False)
        return unit(np.asarray(found, np.float32).reshape(len(items), -1))


def _sees(model: Any) -> bool:
    """Whether a SentenceTransformer takes images: newer ones say so, older ones hold a CLIP module."""
    stated = getattr(model, "modalities", None)
    if stated is not None:
        return "image" in stated
    return any("clip" in type(part).__name__.lower() for part in model)


def _revision(source: CheckpointSource) -> str:
    """A hash over every weight and config file of a folder (its modules lie in sub-folders), or the hub's commit."""
    root = Path(source.location)
    if root.is_dir():
        files = sorted(path for path in root.rglob("*") if path.suffix in (".safetensors", ".bin", ".json"))
        listed = "".join(f"{path.relative_to(root)}\0{sha256(path)}\n" for path in files)
        return f"sha256:{hashlib.sha256(listed.encode()).hexdigest()}"
    config = cached_file(source.location, _LAYOUT, local_files_only=source.offline)
    if config is None:
        raise InputError(f"{source.name} has no {_LAYOUT}.")
    return Path(config).parent.name  # hub caches keep a snapshot in a folder named after its commit
