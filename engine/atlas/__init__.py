"""The concept atlas: one pass over the data for all atoms together, its format, its reader and its validator.

``FORMAT.md`` beside this file is the specification. Names are imported on first use: opening an atlas needs neither
torch nor umap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.atlas.build.options import AtlasOptions as AtlasOptions
    from engine.atlas.build.pipeline import build_atlas as build_atlas
    from engine.atlas.format.reader import Atlas as Atlas

_HOMES = {
    "Atlas": "engine.atlas.format.reader",
    "AtlasOptions": "engine.atlas.build.options",
    "build_atlas": "engine.atlas.build.pipeline",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'engine.atlas' has no attribute {name!r}")
    return getattr(import_module(home), name)
