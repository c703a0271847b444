"""Causal language models as backbones: packed token chunks in, activations of one layer out."""

from engine.backbones.language.backbone import LanguageBackbone
from engine.backbones.language.packing import PackedTexts, pack

__all__ = ["LanguageBackbone", "PackedTexts", "pack"]
