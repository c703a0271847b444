"""Text corpora: a file with one text a line, or a folder of ``.txt`` files with one text each."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from engine.corpus.base import Corpus, digest_files, digest_items
from engine.corpus.folder import Files, Listing, from_folders
from engine.corpus.items import items_frame
from engine.errors import InputError


class Lines:
    """The lines of a file, by their byte ranges; the file is mapped, not read."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        ends = np.flatnonzero(np.frombuffer(self._map, np.uint8) == ord("\n"))
        starts = np.concatenate([[0], ends + 1])
        ends = np.concatenate([ends, [len(self._map)]])
        filled = [bool(self._map[a:b].strip()) for a, b in zip(starts, ends, strict=True)]
        self.numbers = np.flatnonzero(filled) + 1
        self._starts, self._ends = starts[filled], ends[filled]

    def __len__(self) -> int:
        return len(self._starts)

    def read(self, item: int) -> bytes:
        return self._map[self._starts[item] : self._ends[item]]


def open_text_file(path: Path) -> Corpus:
    """Every line of a UTF-8 file that is not blank; ids are ``line-NUMBER``. Raises ``InputError`` if there is none."""
    if not path.stat().st_size:
        raise InputError(f"{path} is empty. Write one text a line.")
    lines = Lines(path)
    if not len(lines):
        raise InputError(f"{path} holds only blank lines. Write one text a line.")
    items = items_frame({"id": [f"line-{number:08d}" for number in lines.numbers]}, kind="text")
    return Corpus(path.stem, path, items, lines, lambda: digest_items(items, digest_files(path.parent, [path.name])))


def open_text_folder(root: Path, listing: Listing) -> Corpus:
    """Every ``.txt`` file below ``root`` as one text; sub-folders are labels, as for images."""
    names = [name for name in listing.files if name.lower().endswith(".txt")]
    splits, labels = zip(*(from_folders(name) for name in names), strict=True)
    items = items_frame({"id": names, "split": splits, "label": labels}, kind="text")
    files = Files(root, names)
    return Corpus(
        root.name, root, items, files, lambda: digest_items(items, digest_files(root, names)), listing.warnings()
    )
