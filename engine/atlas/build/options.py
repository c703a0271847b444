"""The options of a build."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import InputError


@dataclass(frozen=True, kw_only=True)
class AtlasOptions:
    """Options of ``build_atlas``."""

    title: str = ""
    """Title shown in the dashboard; made from model, layer and SAE when empty."""

    top_n: int = 24
    """Top exemplars that are kept for each atom."""

    sample_items: int = 64
    """Items, chosen by hash, whose codes the atlas holds in full."""

    neighbours: int = 10
    """Neighbours of each kind that are kept for each atom."""

    layout: bool = True
    """Compute the map and its clusters."""

    corpus_beside: bool = False
    """Show the pictures of the corpus, which must lie beside the atlas, instead of storing thumbnails."""

    thumb_size: int = 224
    """Longest side of a thumbnail, pixels."""

    baselines: dict[str, Path] = field(default_factory=dict)
    """Further SAEs trained on the same data, name -> run folder."""

    seed: int = 0
    """Seed of the map."""

    device: str = "auto"
    """Where tokens are encoded: auto, cpu, cuda or cuda:N."""

    checkpoint_seconds: float = 60.0
    """Seconds between two saved states of the pass; has no influence on the result."""

    def __post_init__(self) -> None:
        for name, least in (("top_n", 1), ("sample_items", 1), ("neighbours", 0), ("thumb_size", 16)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, not {getattr(self, name)}.")
        if self.top_n > 1000:
            raise InputError(f"top_n must be at most 1000, not {self.top_n}: an atlas is for looking at.")
        for name in self.baselines:
            if not name or not all(c.isalnum() or c in "-_" for c in name):
                raise InputError(f"The baseline name {name!r} becomes a folder: use letters, digits, - and _ only.")

    def of_the_pass(self) -> dict[str, Any]:
        """The options on which the result of the pass over the tokens depends, JSON-ready."""
        return {"top_n": self.top_n, "sample_items": self.sample_items}

    def of_the_rest(self) -> dict[str, Any]:
        """The options that decide what later stages make of it, JSON-ready."""
        names = ("title", "neighbours", "layout", "corpus_beside", "thumb_size", "seed")
        return {name: getattr(self, name) for name in names} | {"baselines": list(self.baselines)}
