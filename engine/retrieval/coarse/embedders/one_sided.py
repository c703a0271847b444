"""Models with one side as embedders: images over images, or texts over captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from engine.backbones import embedded, load_backbone
from engine.backbones.quiet import quiet
from engine.backbones.vectors import Vectors, explain_out_of_memory
from engine.device import pick_device
from engine.progress import Progress
from engine.retrieval.coarse.embedders.base import missing_modality
from engine.retrieval.coarse.sentences import SentenceEncoder

_BATCH = 16


class ImageOnly:
    """The image embedding of a backbone: its projected or pooled output, its CLS token, or the mean patch."""

    modalities = frozenset(("image",))

    def __init__(self, name: str, device: str = "auto", progress: Progress | None = None) -> None:
        self._backbone = load_backbone(name, device=device, progress=progress)
        spec = self._backbone.spec
        self.width = spec.embedding_dim
        self.identity: dict[str, Any] = {
            "name": name,
            "revision": spec.revision,
            "architecture": f"{spec.architecture}, {spec.embedding}",
            "preprocessing": spec.preprocessing,
            "note": spec.note,
        }

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Raises ``InputError``: there is no text side."""
        raise missing_modality(self.identity["name"], "text")

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Unit rows, float32 [N, width]."""
        found = np.zeros((len(images), self.width), np.float32)
        for start in range(0, len(images), _BATCH):
            with explain_out_of_memory(self.identity["name"]):
                pixels = self._backbone.preprocess(images[start : start + _BATCH])
                found[start : start + _BATCH] = self._backbone.run(pixels).embeddings.cpu().numpy()
        return found


class SentencesOnly:
    """The embedded sentence encoder by itself: text queries over captions."""

    modalities = frozenset(("text",))

    def __init__(self, name: str, device: str = "auto", progress: Progress | None = None) -> None:
        with quiet():
            self._encoder = SentenceEncoder(embedded.fetch(name, progress), str(pick_device(device)))
        self.width = self._encoder.width
        entry = embedded.entry(name)
        self.identity: dict[str, Any] = {
            "name": name,
            "revision": entry.revision,
            "architecture": entry.architecture,
            "preprocessing": {"text_tokens": 256},
            "note": entry.note,
        }

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32 [N, width]."""
        return self._encoder.embed(list(texts))

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Raises ``InputError``: there is no image side."""
        raise missing_modality(self.identity["name"], "image")
