"""Held-out figures in ``atlas.json``."""

from __future__ import annotations

from typing import Any

from engine.atlas.format.reader import Atlas
from engine.files import write_json


def record(atlas: Atlas, split: str, figures: dict[str, dict[str, Any]]) -> None:
    """Put figures under ``measured``: those of the atlas's own SAE, which come first, and the others' under ``baselines``."""
    own, *others = figures
    entry = figures[own] | {"baselines": {name: figures[name] for name in others}}
    atlas.meta["measured"] = dict(atlas.meta.get("measured") or {}) | {split: entry}
    write_json(atlas.path / "atlas.json", atlas.meta)
