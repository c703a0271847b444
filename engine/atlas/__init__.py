"""The concept atlas: one pass over the data for all atoms together, its format, its reader and its validator.

``FORMAT.md`` beside this file is the specification. Names are imported on first use: opening an atlas needs neither
torch nor umap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.atlas.build import build_atlas as build_atlas
    from engine.atlas.options import AtlasOptions as AtlasOptions
    from engine.atlas.reader import Atlas as Atlas

_HOMES = {
    "Atlas": "engine.atlas.reader",
    "AtlasOptions": "engine.atlas.options",
    "build_atlas": "engine.atlas.build",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'engine.atlas' has no attribute {name!r}")
    return getattr(import_module(home), name)
