"""The demo's embedder: CLIP image tower + trained text adapter. It has no CLIP text tower, and its name never claims one.

Images go through the embedded CLIP ViT-B/16 tower, texts through the embedded MiniLM sentence encoder; a small adapter,
trained on the demo corpus's training split, brings both into one space.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from engine.backbones import Backbone, embedded, load_backbone
from engine.backbones.quiet import quiet
from engine.backbones.registry import REGISTRY
from engine.backbones.vectors import Vectors
from engine.device import pick_device
from engine.files import sha256
from engine.paths import ASSETS
from engine.progress import Progress
from engine.retrieval.coarse.embedders.adapter import WEIGHTS, load_adapter
from engine.retrieval.coarse.sentences import MODEL as SENTENCES
from engine.retrieval.coarse.sentences import SentenceEncoder

NAME = "CLIP image tower + trained text adapter"
NOTE = (
    "The image tower of CLIP ViT-B/16; the text side is MiniLM with a small adapter trained on the demo corpus's training "
    "split, not CLIP's own text tower. Outside pictures like the demo's, name a real CLIP or SigLIP model."
)
IMAGES = "clip-vit-b16"
FOLDER = ASSETS / "demo" / "retrieval"
_BATCH = 16


class DemoEmbedder:
    """The demo's embedder. The image tower is loaded when the first image comes: text queries need no picture model."""

    modalities = frozenset(("text", "image"))

    def __init__(self, device: str = "auto", progress: Progress | None = None, folder: Path = FOLDER) -> None:
        self._adapter, record = load_adapter(folder)
        self._device = pick_device(device)
        self._adapter.to(self._device)
        self._progress = progress
        self._lock = threading.Lock()
        self._backbone: Backbone | None = None
        with quiet():
            self._sentences = SentenceEncoder(embedded.fetch(SENTENCES, progress), str(self._device))
        self.width = self._adapter.shape.image
        self.identity: dict[str, Any] = {
            "name": "demo",
            "title": NAME,
            "revision": f"adapter sha256:{sha256(folder / WEIGHTS)}; {REGISTRY[IMAGES].revision}; {REGISTRY[SENTENCES].revision}",
            "architecture": "CLIPVisionModelWithProjection + BertModel + adapter",
            "preprocessing": record["preprocessing"],
            "note": NOTE,
        }

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32 [N, width]."""
        sentences = torch.from_numpy(self._sentences.embed(list(texts))).to(self._device)
        return self._adapter.text(sentences).cpu().numpy()

    @torch.no_grad()
    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Unit rows, float32 [N, width]."""
        backbone = self._tower()
        found = torch.zeros(len(images), self.width)
        for start in range(0, len(images), _BATCH):
            embeddings = backbone.run(backbone.preprocess(images[start : start + _BATCH])).embeddings
            found[start : start + _BATCH] = self._adapter.image(embeddings.to(self._device)).cpu()
        return found.numpy()

    @torch.no_grad()
    def embed_known(self, embeddings: Vectors, sentences: Vectors) -> tuple[Vectors, Vectors]:
        """Unit rows of CLIP embeddings [N, 512] and of sentence embeddings [N, 384] that are known already."""
        images = self._adapter.image(torch.from_numpy(embeddings).to(self._device))
        texts = self._adapter.text(torch.from_numpy(sentences).to(self._device))
        return images.cpu().numpy(), texts.cpu().numpy()

    def _tower(self) -> Backbone:
        with self._lock:
            if self._backbone is None:
                self._backbone = load_backbone(IMAGES, device=str(self._device), progress=self._progress)
            return self._backbone
