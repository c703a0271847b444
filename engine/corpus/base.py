"""Corpus: a table of items, and a way to get at each one's bytes. Nothing is decoded before it is asked for."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Protocol

import pandas as pd
from PIL import Image

from engine.corpus.images import UnreadableItem, decode_image

BLOCK = 16 * 1024
STRIDE = 2**20
WHOLE = 8 * 2**20
"""Bytes of the largest Parquet or Arrow file that is hashed whole."""

_MAGIC = 12


class ItemSource(Protocol):
    """Where the bytes of a corpus lie. Must bear calls from several threads."""

    def read(self, item: int) -> bytes:
        """The bytes of one item.

        Raises
        ------
        UnreadableItem
            If they cannot be had.
        """


class Corpus:
    """A collection of images or texts.

    Attributes
    ----------
    name : str
        A line for the eye, usually the folder's name.
    path : Path
        Where it was opened.
    items : DataFrame
        One row per item (RangeIndex), columns as in ``engine.corpus.items.COLUMNS``.
    warnings : list of str
        What was left out or did not match when the corpus was opened, one sentence each; and one for every kind of file
        whose range of values had to be guessed, once such a picture has been loaded.

    Parameters
    ----------
    captions : sequence of sequences of str, optional
        All captions of every item, where some have several.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        items: pd.DataFrame,
        source: ItemSource,
        digest: Callable[[], str],
        warnings: Iterable[str] = (),
        captions: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.items = items
        self.warnings = list(warnings)
        self._source = source
        self._digest = digest
        self._guessed: set[str] = set()
        self._lock = threading.Lock()  # several threads load pictures
        self._ids = items["id"].to_numpy(dtype=object)
        # Kept only for the items that have more captions than the table holds.
        self._captions = {i: tuple(said) for i, said in enumerate(captions or ()) if len(said) > 1}

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the content of the corpus; computed on first use.

        It covers each item's id, split, label, caption and keywords, and its content: for our shards the SHA-256 of
        every shard in ``corpus.json`` (``validate_corpus`` checks that they are true); for files and foreign data sets
        their size and their bytes, of compressed pictures a sample of them, see ``file_digest``. It does not depend on
        where the corpus lies or when its files were written.
        """
        return self._digest()

    def is_unchanged(self) -> bool:
        """Whether the content is still what ``hash`` says; reads the files again."""
        return self._digest() == self.hash

    @property
    def splits(self) -> dict[str, int]:
        """Number of items of every split, in order of appearance; items of no split count under ""."""
        return {str(name): int(count) for name, count in self.items["split"].value_counts(sort=False).items()}

    def captions(self, item: int) -> tuple[str, ...]:
        """All captions of one item; the table of items holds the first. () where there is none."""
        caption = str(self.items["caption"].iat[item])
        return self._captions.get(item) or ((caption,) if caption else ())

    def image_bytes(self, item: int) -> bytes:
        """The encoded bytes of one image as they are stored. Raises ``UnreadableItem`` if they cannot be had."""
        self._expect("image", item)
        return self._source.read(item)

    def load(self, item: int) -> Image.Image:
        """One image as upright RGB on white. Raises ``UnreadableItem`` if it cannot be read."""
        name = str(self._ids[item])
        return decode_image(self.image_bytes(item), name=name, guessed=lambda kind: self._warn_of_range(name, kind))

    def text(self, item: int) -> str:
        """One text. Raises ``UnreadableItem`` if it is not UTF-8 or cannot be read."""
        self._expect("text", item)
        try:
            return self._source.read(item).decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise UnreadableItem(f"{self._ids[item]} is not UTF-8 text. Save it as UTF-8.") from None

    def _warn_of_range(self, name: str, kind: str) -> None:
        with self._lock:
            if kind not in self._guessed:
                self._guessed.add(kind)
                self.warnings.append(
                    f"{name} is a {kind} that states no range of values: every such picture is scaled by its own values, so "
                    "brightness cannot be compared between them."
                )

    def _expect(self, kind: str, item: int) -> None:
        if self.items["kind"].iat[item] != kind:
            raise UnreadableItem(f"{self._ids[item]} is not {'an image' if kind == 'image' else 'a text'}.")


def several_captions_warning(count: int, total: int) -> str:
    """The sentence that warns of pictures with several captions."""
    return (
        f"{count:,} of {total:,} pictures have several captions; only the first of each is used, but a benchmark asks all "
        "of them."
    )


def file_digest(path: Path, whole: bool = False) -> str:
    """SHA-256 (hex) of a file's size and its bytes; of a sample of them where that tells one file from another.

    Compressed pictures (JPEG, PNG, GIF, WebP, by their first bytes) are sampled: a change of one pixel moves or rewrites
    what follows it, so it need not be looked for everywhere. So are data tables (Parquet, Arrow) over ``WHOLE`` (8 MiB):
    their pictures are compressed, and the words that are used of them are in the corpus hash by themselves. Everything
    else (texts, CSV, JSON, BMP, TIFF, ...) can be edited in place and keep its size: it is read whole.

    The sample is the first and the last ``BLOCK`` (16 KiB) and one block at every ``STRIDE`` (1 MiB) between them; a
    file of up to two blocks is covered by it. "" if the file cannot be read.

    Parameters
    ----------
    whole : bool
        Read it whole whatever it is.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            if size > 2 * BLOCK and (whole or not _is_sampled(os.pread(file.fileno(), _MAGIC, 0), size)):
                return hashlib.file_digest(file, lambda: digest).hexdigest()
            last = max(size - BLOCK, 0)
            for start in [*range(0, last, STRIDE), last]:
                digest.update(os.pread(file.fileno(), BLOCK, start))
    except OSError:
        return ""
    return digest.hexdigest()


def _is_sampled(head: bytes, size: int) -> bool:
    """Whether a file with these first bytes is told from another by a sample."""
    if head.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):  # the last one is Arrow's stream
        return size > WHOLE
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def digest_files(root: Path, names: Iterable[str], whole: bool = False) -> list[str]:
    """``file_digest`` of many files below ``root``, in order; threads hide the latency of the disk."""
    with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(lambda name: file_digest(root / name, whole), names))


def digest_items(items: pd.DataFrame, contents: Iterable[str]) -> str:
    """The corpus hash from the items' meaning and the digests of their content (one an item, or one a file)."""
    digest = hashlib.sha256()
    columns = (items[column] for column in ("id", "kind", "split", "label", "caption", "keywords"))
    for *words, keywords in zip(*columns, strict=True):
        digest.update(json.dumps([*words, list(keywords)]).encode() + b"\n")
    for content in contents:
        digest.update(content.encode() + b"\n")
    return digest.hexdigest()
