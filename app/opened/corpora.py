"""The corpora this server can search: the demo's and those of ``atomscope serve --corpus``, opened once for all sessions."""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from engine.corpus.captions import AUTOMATIC
from engine.derived import derived
from engine.errors import AtomscopeError
from engine.files import Stamp, stamp
from engine.paths import DEMO_CORPUS

if TYPE_CHECKING:
    from engine.corpus import Corpus

# How `atomscope serve` tells the server process which corpora to offer beside the demo's.
VARIABLE = "ATOMSCOPE_CORPORA"
DEMO = "demo"

_SIDE = 256
_SMALL = 64 * 1024
_THUMBNAILS = 1024
"""Thumbnails kept of one corpus."""

_DESCRIBING = ("corpus.json", "state.json", "dataset_info.json", *sorted(AUTOMATIC))
"""Files of a folder that say what its items are."""

_LOCK = threading.RLock()


@dataclass(frozen=True)
class CorpusEntry:
    """One corpus of the list, open, or with one sentence that says why it cannot be opened.

    Attributes
    ----------
    key : str
        Its name in the URL: "demo", or the folder's name and a few digits of its place.
    path : Path
    corpus : Corpus or None
    problem : str
    """

    key: str
    path: Path
    corpus: Corpus | None
    problem: str = ""

    @property
    def content(self) -> str:
        """Twelve digits of the corpus's hash: addresses of its pictures begin with it, so they may be kept for ever."""
        return self.corpus.hash[:12] if self.corpus is not None else ""

    @property
    def captions(self) -> bool:
        """Whether any item has a caption."""
        return self.corpus is not None and bool((self.corpus.items["caption"] != "").any())

    def row_of(self, identity: str) -> int | None:
        """Row of the item with this id, None if there is none."""
        if self.corpus is None:
            return None
        rows = (self.corpus.items["id"] == identity).to_numpy().nonzero()[0]
        return int(rows[0]) if len(rows) else None

    def searched_split(self, asked: str) -> str:
        """The split that is really searched: what was asked for, or the corpus's own default; "" is the whole corpus.

        The demo's default is its test split: pictures the demo model has never seen.
        """
        known = self.corpus.splits if self.corpus is not None else {}
        if asked in known:
            return asked
        if asked == "all" or self.key != DEMO:
            return ""
        return "test"


def paths() -> dict[str, Path]:
    """Key -> folder, the demo first, in the order given."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return {DEMO: DEMO_CORPUS} | {key_of(path): path for path in named if path != DEMO_CORPUS}


def key_of(path: Path) -> str:
    """The folder's name, made safe for an address, and six digits of where it lies."""
    name = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-")[:24] or "corpus"
    return f"{name}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"


Stamps = tuple[Stamp | None, ...]

_entries: dict[str, tuple[Path, Stamps, CorpusEntry]] = {}
_by_content: WeakValueDictionary[str, Corpus] = WeakValueDictionary()
"""Every corpus that anybody still shows, also one that was opened anew since."""


def entry(key: str) -> CorpusEntry | None:
    """The corpus with this key, opened now if it was not yet; None if there is no such key.

    It is opened again when a file that describes it (its manifest, its captions) is another one than before. Pictures that are
    added to a folder are found when the server starts again; those that are taken away fail alone.
    """
    path = paths().get(key)
    if path is None:
        return None
    stamps = _stamps(path)
    with _LOCK:
        if key not in _entries or _entries[key][:2] != (path, stamps):
            _entries[key] = (path, stamps, _open(key, path))
        return _entries[key][2]


def _stamps(path: Path) -> Stamps:
    return tuple(stamp(file) for file in ([path / name for name in _DESCRIBING] if path.is_dir() else [path]))


def _open(key: str, path: Path) -> CorpusEntry:
    from engine.corpus import open_corpus

    try:
        corpus = open_corpus(path)
        _by_content[corpus.hash[:12]] = corpus
    except AtomscopeError as error:
        return CorpusEntry(key, path, None, str(error))
    return CorpusEntry(key, path, corpus)


def find(content: str) -> Corpus | None:
    """The open corpus whose hash begins with these twelve digits, or None."""
    corpus = _by_content.get(content)
    if corpus is None and DEMO_CORPUS.is_dir() and not _entries:
        entry(DEMO)  # a browser may ask for a picture it knows of before any page of this server was opened
        corpus = _by_content.get(content)
    return corpus


@derived(most=_THUMBNAILS)
def thumbnail(corpus: Corpus, item: int) -> bytes:
    """One picture of a corpus, at most 256 pixels a side, as WebP.

    Raises
    ------
    InputError
        If it cannot be read (its file has vanished, say), or is a text.
    """
    stored = corpus.image_bytes(item)
    small = len(stored) <= _SMALL and stored[:4] == b"RIFF" and stored[8:12] == b"WEBP"
    return stored if small else _scaled(corpus, item)


def _scaled(corpus: Corpus, item: int) -> bytes:
    picture = corpus.load(item)
    picture.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=82)
    return buffer.getvalue()


def readable(content: str, item: int) -> bool:
    """Whether :func:`thumbnail` has a picture to give; asked where a broken image would be shown otherwise."""
    corpus = find(content)
    try:
        return corpus is not None and bool(thumbnail(corpus, item))
    except AtomscopeError:
        return False


def forget() -> None:
    """Close everything: the next reader opens the folders again."""
    with _LOCK:
        _entries.clear()
        _by_content.clear()
