"""Text corpora: a file with one text per line, a table with a text column, or a folder of ``.txt`` files."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from engine.corpus.base import Corpus, digest_files, digest_items
from engine.corpus.folder import FolderFiles, Listing, from_folders
from engine.corpus.items import id_fault, items_frame, text
from engine.corpus.tables import SUFFIXES, TEXT_NAMES, clean, read_table, recognise
from engine.errors import InputError

_MEANINGS = ("label", "split", "keywords", "source", "license", "credit")


class TextLines:
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
    lines = TextLines(path)
    if not len(lines):
        raise InputError(f"{path} holds only blank lines. Write one text a line.")
    items = items_frame({"id": [f"line-{number:08d}" for number in lines.numbers]}, kind="text")
    return Corpus(
        path.stem, path, items, lines, lambda: digest_items(items, digest_files(path.parent, [path.name], whole=True))
    )


class TableTexts:
    """The texts of a table, in memory."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def read(self, item: int) -> bytes:
        return self._texts[item].encode()


def is_text_table(path: Path) -> bool:
    """Whether a single file is named like a table; a Parquet file must also hold a text and no picture."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    if path.suffix.lower() != ".parquet":
        return True
    import pyarrow as pa
    import pyarrow.parquet as pq

    from engine.corpus.huggingface import image_column

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return False
    return image_column(schema) is None and _text_column(schema.names) is not None


def open_text_table(path: Path) -> Corpus:
    """Every row of a JSONL, CSV, TSV or Parquet file whose text is not blank, with its label, split, source and terms.

    Ids are the column ``id`` where its values are good ids and all different, else ``row-NUMBER``.

    Raises
    ------
    InputError
        If the file cannot be parsed, has no text column, or holds no text.
    """
    columns, table = read_table(path)
    column = _text_column(columns)
    if column is None:
        raise InputError(f"{path} has no text column: call it text (its columns: {', '.join(columns) or 'none'}).")
    rows = [(number, row) for number, row in enumerate(table, 1) if text(row.get(column))]
    if not rows:
        raise InputError(f"{path} holds no text in its column {column}.")
    known = {meaning: name for meaning, name in recognise(columns).items() if meaning in _MEANINGS and name != column}
    ids = [text(row.get("id")) for _, row in rows]
    if len(set(ids)) < len(ids) or any(id_fault(name) for name in ids):
        ids = [f"row-{number:08d}" for number, _ in rows]
    cells = {meaning: [clean(meaning, row.get(name)) for _, row in rows] for meaning, name in known.items()}
    items = items_frame({"id": ids, **cells}, kind="text")
    texts = TableTexts([text(row[column]) for _, row in rows])
    return Corpus(
        path.stem, path, items, texts, lambda: digest_items(items, digest_files(path.parent, [path.name], whole=True))
    )


def _text_column(columns: list[str]) -> str | None:
    present = {name.strip().lower(): name for name in reversed(columns)}
    return next((present[name] for name in TEXT_NAMES if name in present), None)


def open_text_folder(root: Path, listing: Listing) -> Corpus:
    """Every ``.txt`` file below ``root`` as one text; sub-folders are labels, as for images."""
    names = [name for name in listing.files if name.lower().endswith(".txt")]
    splits, labels = zip(*(from_folders(name) for name in names), strict=True)
    items = items_frame({"id": names, "split": splits, "label": labels}, kind="text")
    files = FolderFiles(root, names)
    return Corpus(
        root.name, root, items, files, lambda: digest_items(items, digest_files(root, names)), listing.warnings()
    )
