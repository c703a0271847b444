"""The activation store: one layer's activations of a whole corpus, in immutable shards, read back shuffled.

The layout on disk is specified in ``FORMAT.md`` beside this file.
"""

from __future__ import annotations

from engine.activations.extraction import extract
from engine.activations.shuffling import TokenBatch
from engine.activations.store import ActivationStore

__all__ = ["ActivationStore", "TokenBatch", "extract"]
