"""What the coarse stage asks of an embedder, and what all of them share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from engine.backbones.vectors import Vectors
from engine.errors import InputError


class Embedder(Protocol):
    """Texts and images to unit vectors of one space. Several threads may call it.

    Attributes
    ----------
    identity : dict
        "name", "revision", "architecture", "preprocessing" (a dict), "note"; JSON-ready.
    width : int
        Dimensions of a vector.
    modalities : frozenset
        What it embeds, of "text" and "image".
    """

    identity: dict[str, Any]
    width: int
    modalities: frozenset[str]

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit rows, float32 [N, width], of candidates. Raises ``InputError`` if the model has no text side."""

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Unit rows, float32 [N, width], of RGB images. Raises ``InputError`` if the model has no image side."""


@runtime_checkable
class AsymmetricEmbedder(Embedder, Protocol):
    """An embedder that embeds what is asked otherwise than what is found: with a prompt or an encoder of its own."""

    def embed_text_queries(self, texts: Sequence[str]) -> Vectors:
        """As ``embed_texts``, of queries."""

    def embed_image_queries(self, images: Sequence[Image.Image]) -> Vectors:
        """As ``embed_images``, of queries."""


def embed_text_queries(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Unit rows, float32 [N, width], of texts that are asked. Raises ``InputError`` if the model has no text side."""
    return (embedder.embed_text_queries if isinstance(embedder, AsymmetricEmbedder) else embedder.embed_texts)(texts)


def embed_image_queries(embedder: Embedder, images: Sequence[Image.Image]) -> Vectors:
    """Unit rows, float32 [N, width], of images that are asked. Raises ``InputError`` if the model has no image side."""
    return (embedder.embed_image_queries if isinstance(embedder, AsymmetricEmbedder) else embedder.embed_images)(images)


def embedder_key(identity: dict[str, Any]) -> str:
    """SHA-256 (hex) of everything in an identity that decides its vectors: not the name it goes by."""
    parts = {key: identity[key] for key in ("revision", "architecture", "preprocessing")}
    if not parts["revision"]:
        parts["name"] = identity["name"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def missing_modality(name: str, side: str) -> InputError:
    """The error of an embedder that is asked for a modality it does not have."""
    other = "image" if side == "text" else "text"
    return InputError(
        f"The embedder {name} has no {side} side: it embeds {other}s only. Name one that embeds both, such as demo, or a "
        "CLIP or SigLIP model."
    )
