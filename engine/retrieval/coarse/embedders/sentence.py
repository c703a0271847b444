"""Text and image embedders of the sentence-transformers library, an optional extra."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.nn import ModuleDict
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


def load_sentence_model(source: CheckpointSource, device: str = "auto") -> SentenceTransformerEmbedder:
    """The embedder of a folder or repository that ``is_sentence_model`` knows.

    Raises
    ------
    InputError
        If the model cannot be loaded, or embeds queries and candidates into spaces of different width.
    AtomscopeError
        If the library is not installed.
    """
    library = require_sentence_transformers()
    with quiet(), checkpoint_errors(source):
        model = library.SentenceTransformer(
            source.location, device=str(pick_device(device)), local_files_only=source.offline
        )
    tasks = _tasks(model)
    return AsymmetricSentenceTransformer(source, model, tasks) if tasks else SentenceTransformerEmbedder(source, model)


class SentenceTransformerEmbedder:
    """A ``SentenceTransformer``: text only, or texts and images where the model takes both (CLIP, Qwen3-VL-Embedding)."""

    def __init__(self, source: CheckpointSource, model: Any) -> None:
        self._model = model
        self._name = source.name
        self.modalities = frozenset(("text", "image")) if _sees(model) else frozenset(("text",))
        self.identity: dict[str, Any] = {
            "name": source.name,
            "revision": _revision(source),
            "architecture": f"SentenceTransformer ({', '.join(type(part).__name__ for part in model)})",
            "preprocessing": {"text_tokens": model.max_seq_length},
            "note": source.note,
        }
        self.width = self.embed_texts(["a picture"]).shape[1]

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32 [N, width]."""
        return self._encode(self._encode_candidates, texts)

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Unit rows, float32 [N, width]. Raises ``InputError`` if the model reads texts only."""
        self._expect_images()
        return self._encode(self._encode_candidates, images)

    @property
    def _encode_candidates(self) -> Callable[..., Any]:
        encode: Callable[..., Any] = self._model.encode
        return encode

    def _expect_images(self) -> None:
        if "image" not in self.modalities:
            raise missing_modality(self._name, "image")

    def _encode(self, encode: Callable[..., Any], items: Sequence[Any]) -> Vectors:
        with explain_out_of_memory(self._name):
            found = encode(list(items), convert_to_numpy=True, show_progress_bar=False)
        return unit(np.asarray(found, np.float32).reshape(len(items), -1))


class AsymmetricSentenceTransformer(SentenceTransformerEmbedder):
    """A ``SentenceTransformer`` with prompts for queries and documents, or an encoder for each (a Router).

    Its identity says so: vectors of the same model that were made without them are not taken for these.
    """

    def __init__(self, source: CheckpointSource, model: Any, tasks: dict[str, str]) -> None:
        super().__init__(source, model)
        self.identity["preprocessing"] |= {"tasks": tasks}
        if (asked := self.embed_text_queries(["a picture"]).shape[1]) != self.width:
            raise InputError(
                f"{source.name} is no embedder: its vectors of queries have {asked} dimensions, those of documents "
                f"{self.width}, so that no cosine can be taken."
            )

    def embed_text_queries(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32 [N, width]."""
        return self._encode(self._model.encode_query, texts)

    def embed_image_queries(self, images: Sequence[Image.Image]) -> Vectors:
        """Unit rows, float32 [N, width]. Raises ``InputError`` if the model reads texts only."""
        self._expect_images()
        return self._encode(self._model.encode_query, images)

    @property
    def _encode_candidates(self) -> Callable[..., Any]:
        encode: Callable[..., Any] = self._model.encode_document
        return encode


def _tasks(model: Any) -> dict[str, str]:
    """The prompts of queries and documents, as ``encode_query`` and ``encode_document`` choose them.

    {} where both embed exactly as ``encode`` does: no Router, and no prompt that is not the default one.
    """
    prompts = model.prompts
    plain = prompts.get(model.default_prompt_name)
    query = prompts.get("query", plain)
    document = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), plain)
    routed = any(isinstance(getattr(part, "sub_modules", None), ModuleDict) for part in model)
    if not routed and (query or "") == (document or "") == (plain or ""):
        return {}
    return {"query": query or "", "document": document or ""}


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
