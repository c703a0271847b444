"""The atlases this server shows: opened once, shared by the pages and the image routes of the process."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import AtomscopeError
from engine.files import Stamp, stamp
from engine.paths import demo_atlases

if TYPE_CHECKING:
    from engine.atlas import Atlas

# How `atomscope serve` tells the server process (and `streamlit run app/server.py`) what to show.
VARIABLE = "ATOMSCOPE_ATLASES"

_LOCK = threading.RLock()


@dataclass(frozen=True)
class AtlasEntry:
    """One folder the server was asked to show: an open atlas, or one sentence that says why it cannot be opened."""

    path: Path
    atlas: Atlas | None
    problem: str = ""


def atlas_paths() -> list[Path]:
    """The folders to show, in the order given; the demo atlases when none was named."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return named or demo_atlases()


def entries() -> tuple[AtlasEntry, ...]:
    """Every folder that was named, opened. Two folders of the same content are shown once.

    A folder that was rebuilt since (its ``atlas.json`` is another file) is opened again; the others stay as they are, with all
    that hangs on them.
    """
    shown: list[AtlasEntry] = []
    keys: set[str] = set()
    with _LOCK:
        for path in atlas_paths():
            entry = _entry(path)
            if entry.atlas is not None:
                if entry.atlas.key in keys:
                    continue
                keys.add(entry.atlas.key)
            shown.append(entry)
    return tuple(shown)


_opened: dict[Path, tuple[Stamp | None, AtlasEntry]] = {}


def _entry(path: Path) -> AtlasEntry:
    from engine.atlas import Atlas

    now = stamp(path / "atlas.json")
    known = _opened.get(path)
    if known is not None and known[0] == now:
        return known[1]
    try:
        entry = AtlasEntry(path, Atlas.open(path))
    except AtomscopeError as error:
        entry = AtlasEntry(path, None, str(error))
    _opened[path] = (now, entry)
    return entry


def atlases() -> dict[str, Atlas]:
    """Key -> atlas, for those that opened."""
    return {entry.atlas.key: entry.atlas for entry in entries() if entry.atlas is not None}


def find(key: str) -> Atlas | None:
    """The open atlas with this key, or None."""
    return atlases().get(key)


def forget() -> None:
    """Close everything: the next reader opens the folders again (tests, and an atlas rebuilt in place)."""
    with _LOCK:
        _opened.clear()
