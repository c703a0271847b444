"""Caption files beside images: CSV, TSV, JSON lines and Parquet, with the column names people really use."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.corpus.items import keyword_list, split_name, text
from engine.errors import InputError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
AUTOMATIC = frozenset(stem + suffix for stem in ("captions", "metadata") for suffix in SUFFIXES)
"""File names found without being named; ``metadata.*`` with a ``file_name`` column is the imagefolder convention of
Hugging Face's datasets library."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "file": ("file_name", "filename", "file", "image", "image_path", "image_file", "img", "path", "filepath", "id"),
    "caption": ("caption", "captions", "text", "description", "title", "alt", "alt_text", "prompt"),
    "label": ("label", "class", "category", "labels", "class_name", "label_name"),
    "split": ("split", "subset", "partition", "fold"),
    "keywords": ("keywords", "keyword", "tags"),
    "source": ("source", "origin", "url"),
    "license": ("license", "licence", "rights"),
    "credit": ("credit", "attribution", "author", "artist", "creator"),
}
"""What a column means -> the names it goes by, the most telling first; capitals, spaces and hyphens do not matter."""

TEXT_NAMES = ("text", "content", "document", "body", "sentence", "caption")
"""What the column of texts of a text corpus may be called, the most telling first."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a caption file: the image's name as written, and what is known of it, by item column."""

    file: str
    known: dict[str, Any]


def recognise(columns: Iterable[str]) -> dict[str, str]:
    """Item column (or "file") -> the name it has among ``columns``, for those that are there."""
    present = {column.strip().lower().replace(" ", "_").replace("-", "_"): column for column in reversed(list(columns))}
    found = {}
    for meaning, names in NAMES.items():
        name = next((name for name in names if name in present), None)
        if name is not None:
            found[meaning] = present[name]
    return found


def clean(meaning: str, value: Any) -> Any:
    """A cell as the items table holds it."""
    if meaning == "keywords":
        return keyword_list([] if value is None else value)
    return split_name(value) if meaning == "split" else text(value)


def read_sidecar(path: Path) -> list[Row]:
    """All rows of a caption file.

    Raises
    ------
    InputError
        If the file cannot be parsed or has no column that names the images.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is no caption file: use {', '.join(SUFFIXES)}.")
    columns, table = read_table(path)
    known = recognise(columns)
    file = known.pop("file", None)
    if file is None:
        has = f"its columns: {', '.join(columns)}" if columns else "it is empty"
        raise InputError(f"{path} has no column that names the images: call it file_name ({has}).")
    return [
        Row(text(row.get(file)), {meaning: clean(meaning, row.get(name)) for meaning, name in known.items()})
        for row in table
    ]


Table = tuple[list[str], list[dict[str, Any]]]


def read_table(path: Path) -> Table:
    """Columns and rows of a CSV, TSV, JSON lines or Parquet file (of Parquet only the columns that mean something here).

    Raises
    ------
    InputError
        If it is none of these, or cannot be parsed.
    """
    try:
        return _READERS[path.suffix.lower()](path)
    except KeyError:
        raise InputError(f"{path} is no table: use {', '.join(SUFFIXES)}.") from None
    except FileNotFoundError:
        raise InputError(f"The file {path} does not exist.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from None


def _read_csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        delimiter = max(",;\t|", key=header.count)  # the comma comes first and wins where none occurs
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            columns = next(reader, [])
            table = []
            for cells in reader:
                if len(cells) > len(columns):
                    raise InputError(
                        f"{path}, line {reader.line_num}: {len(cells)} fields, but the header has {len(columns)}. "
                        "Put text that holds a comma in double quotes."
                    )
                if any(cells):
                    table.append(dict(zip(columns, cells, strict=False)))
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: not valid CSV ({error}).") from None
    return columns, table


def _read_jsonl(path: Path) -> Table:
    table = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {number}: not a JSON object. Write one object a line.")
            table.append(row)
    return list(dict.fromkeys(key for row in table for key in row)), table


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = list(file.schema_arrow.names)
            known = {
                *recognise(columns).values(),
                *(name for name in columns if name.strip().lower() in (*TEXT_NAMES, "id")),
            }
            return columns, file.read(columns=[name for name in columns if name in known]).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path} is not valid Parquet ({str(error).splitlines()[0]}).") from None


_READERS = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}
