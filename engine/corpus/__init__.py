"""Corpora: images and texts with ids, captions, labels and licences, from whatever people keep them in."""

from engine.corpus.base import Corpus
from engine.corpus.images import UnreadableItem, decode_image
from engine.corpus.opening import open_corpus

__all__ = ["Corpus", "UnreadableItem", "decode_image", "open_corpus"]
