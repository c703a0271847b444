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


def held_out(atlas: Atlas) -> tuple[str, dict[str, Any]]:
    """Name and figures of the split that was measured: test, else validation, else whatever there is."""
    measured = atlas.meta.get("measured") or {}
    for split in ("test", "validation", *measured):
        if isinstance(measured.get(split), dict):
            return split, measured[split]
    return "", {}


def baselines(measured: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Figures of the other SAEs inside a split's figures."""
    others = measured.get("baselines")
    return {str(k): v for k, v in others.items() if isinstance(v, dict)} if isinstance(others, dict) else {}
