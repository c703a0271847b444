"""The atlases this server shows: opened once, shared by the pages and the image routes of the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from engine.errors import AtomscopeError
from engine.paths import demo_atlases

if TYPE_CHECKING:
    import pandas as pd

    from engine.atlas import Atlas

T = TypeVar("T")

# How `atomscope serve` tells the server process (and `streamlit run app/server.py`) what to show.
VARIABLE = "ATOMSCOPE_ATLASES"

_LOCK = threading.RLock()


@dataclass(frozen=True)
class Entry:
    """One folder the server was asked to show: an open atlas, or one sentence that says why it cannot be opened."""

    path: Path
    atlas: Atlas | None
    problem: str = ""


def atlas_paths() -> list[Path]:
    """The folders to show, in the order given; the demo atlases when none was named."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return named or demo_atlases()


def entries() -> tuple[Entry, ...]:
    """Every folder that was named, opened. Two folders of the same content are shown once.

    A folder that was rebuilt since (its ``atlas.json`` is another file) is opened again.
    """
    return _entries(tuple((path, _stamp(path)) for path in atlas_paths()))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        state = (path / "atlas.json").stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=4)
def _entries(stamped: tuple[tuple[Path, tuple[int, int] | None], ...]) -> tuple[Entry, ...]:
    from engine.atlas import Atlas

    opened: list[Entry] = []
    keys: set[str] = set()
    with _LOCK:
        for path, _ in stamped:
            try:
                atlas = Atlas.open(path)
            except AtomscopeError as error:
                opened.append(Entry(path, None, str(error)))
                continue
            if atlas.key not in keys:
                keys.add(atlas.key)
                opened.append(Entry(path, atlas))
    return tuple(opened)


def atlases() -> dict[str, Atlas]:
    """Key -> atlas, for those that opened."""
    return {entry.atlas.key: entry.atlas for entry in entries() if entry.atlas is not None}


def find(key: str) -> Atlas | None:
    """The open atlas with this key, or None."""
    return atlases().get(key)


class Derived:
    """Arrays derived from an atlas, computed at most once and shared read-only by every session.

    ``st.cache_data`` would copy them for each reader and ``st.cache_resource`` cannot be used by the image routes.
    """

    def __init__(self, max_entries: int = 64) -> None:
        self._values: dict[Hashable, object] = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._max = max_entries

    def clear(self) -> None:
        """Forget everything."""
        with _LOCK:
            self._values.clear()
            self._locks.clear()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under ``key``, made by ``make`` the first time; the oldest entry goes when there are too many."""
        with _LOCK:
            if key in self._values:
                return self._values[key]  # type: ignore[return-value]
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            with _LOCK:
                if key in self._values:
                    return self._values[key]  # type: ignore[return-value]
            value = make()
            with _LOCK:
                self._values[key] = value
                while len(self._values) > self._max:
                    oldest = next(iter(self._values))
                    del self._values[oldest]
                    self._locks.pop(oldest, None)
            return value


derived = Derived()
_recent = Derived(max_entries=512)


def exemplars(atlas: Atlas, atom: int) -> pd.DataFrame:
    """``atlas.exemplars(atom)``, kept for the atoms shown last: a page asks once, and then each of its heat maps."""
    return _recent.get((atlas.key, atom), lambda: atlas.exemplars(atom))


def names(atlas: Atlas) -> list[str]:
    """What every atom is called: its label, else its top label, else nothing.

    The classes of texts say what a text is about, not what a token of it is: there an atom without a label has no name.
    """

    def compute() -> list[str]:
        table = atlas.atoms
        if atlas.is_text:
            return [str(label) for label in table["label"]]
        return [label or top for label, top in zip(table["label"], table["top_label"], strict=True)]

    return derived.get((atlas.key, "names of atoms"), compute)


def forget() -> None:
    """Close everything: the next reader opens the folders again (tests, and an atlas rebuilt in place)."""
    _entries.cache_clear()
    for kept in (derived, _recent):
        kept.clear()
