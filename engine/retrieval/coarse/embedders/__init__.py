"""Embedders: texts and images to unit vectors of one space, for the coarse stage."""

from __future__ import annotations

from engine.retrieval.coarse.embedders.base import Embedder
from engine.retrieval.coarse.embedders.loading import load_embedder

__all__ = ["Embedder", "load_embedder"]
