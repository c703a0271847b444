"""Backbones: a frozen model from ``transformers`` that turns pictures or texts into the activations of one layer."""

from __future__ import annotations

from engine.backbones.backbone import Backbone, BackboneOutput
from engine.backbones.language import LanguageBackbone
from engine.backbones.loading import load_backbone, load_backbone_of
from engine.backbones.spec import BackboneSpec, LanguageSpec

__all__ = [
    "Backbone",
    "BackboneOutput",
    "BackboneSpec",
    "LanguageBackbone",
    "LanguageSpec",
    "load_backbone",
    "load_backbone_of",
]
