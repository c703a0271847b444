"""Backbones: a frozen model from ``transformers`` that turns pictures into the activations of one layer."""

from __future__ import annotations

from engine.backbones.backbone import Backbone, BackboneOutput
from engine.backbones.loading import load_backbone
from engine.backbones.spec import BackboneSpec

__all__ = ["Backbone", "BackboneOutput", "BackboneSpec", "load_backbone"]
