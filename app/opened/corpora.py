"""The corpora this server can search: the demo's and those of ``atomscope serve --corpus``, opened once for all sessions."""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import AtomscopeError
from engine.paths import DEMO_CORPUS

if TYPE_CHECKING:
    from engine.corpus import Corpus

# How `atomscope serve` tells the server process which corpora to offer beside the demo's.
VARIABLE = "ATOMSCOPE_CORPORA"
DEMO = "demo"

_SIDE = 256
_SMALL = 64 * 1024
_KEPT = 1024

_LOCK = threading.RLock()


@dataclass(frozen=True)
class Entry:
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


def paths() -> dict[str, Path]:
    """Key -> folder, the demo first, in the order given."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return {DEMO: DEMO_CORPUS} | {key_of(path): path for path in named if path != DEMO_CORPUS}


def key_of(path: Path) -> str:
    """The folder's name, made safe for an address, and six digits of where it lies."""
    name = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-")[:24] or "corpus"
    return f"{name}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"


def entry(key: str) -> Entry | None:
    """The corpus with this key, opened now if it was not yet; None if there is no such key."""
    path = paths().get(key)
    if path is None:
        return None
    with _LOCK:
        return _open(key, path)


@lru_cache(maxsize=16)
def _open(key: str, path: Path) -> Entry:
    from engine.corpus import open_corpus

    try:
        corpus = open_corpus(path)
        _by_content[corpus.hash[:12]] = corpus
    except AtomscopeError as error:
        return Entry(key, path, None, str(error))
    return Entry(key, path, corpus)


_by_content: dict[str, Corpus] = {}
_thumbs: OrderedDict[tuple[str, int], bytes] = OrderedDict()


def find(content: str) -> Corpus | None:
    """The open corpus whose hash begins with these twelve digits, or None."""
    corpus = _by_content.get(content)
    if corpus is None and DEMO_CORPUS.is_dir() and not _by_content:
        entry(DEMO)  # a browser may ask for a picture it knows of before any page of this server was opened
        corpus = _by_content.get(content)
    return corpus


def thumbnail(corpus: Corpus, item: int) -> bytes:
    """One picture of a corpus, at most 256 pixels a side, as WebP.

    Raises
    ------
    InputError
        If it cannot be read (its file has vanished, say), or is a text.
    """
    key = (corpus.hash[:12], item)
    with _LOCK:
        if key in _thumbs:
            _thumbs.move_to_end(key)
            return _thumbs[key]
    stored = corpus.image_bytes(item)
    small = len(stored) <= _SMALL and stored[:4] == b"RIFF" and stored[8:12] == b"WEBP"
    content = stored if small else _scaled(corpus, item)
    with _LOCK:
        _thumbs[key] = content
        while len(_thumbs) > _KEPT:
            _thumbs.popitem(last=False)
    return content


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
        _open.cache_clear()
        _by_content.clear()
        _thumbs.clear()
