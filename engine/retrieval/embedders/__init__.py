"""Embedders: texts and images to unit vectors of one space, for the coarse stage."""

from __future__ import annotations

from engine.retrieval.embedders.base import Embedder
from engine.retrieval.embedders.loading import load_embedder

__all__ = ["Embedder", "load_embedder"]
