"""Where Atomscope keeps what it ships and what it makes."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
DEMO_ATLAS = ASSETS / "demo" / "clip-b16"
DEMO_LANGUAGE_ATLAS = ASSETS / "demo" / "smollm2"
DEMO_CORPUS = ASSETS / "demo" / "corpus"


def demo_atlases() -> list[Path]:
    """What the dashboard shows when nothing is named: the atlas of pictures (missing or not), then that of texts."""
    return [DEMO_ATLAS, *([DEMO_LANGUAGE_ATLAS] if (DEMO_LANGUAGE_ATLAS / "atlas.json").is_file() else [])]


def cache_dir() -> Path:
    """The cache root: ``ATOMSCOPE_CACHE`` if set, else ``cache/`` beside the code. It may not exist yet."""
    return Path(os.environ.get("ATOMSCOPE_CACHE") or ROOT / "cache")
