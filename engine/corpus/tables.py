"""Tables people have: CSV, TSV, JSON lines and Parquet, with the column names they really use."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.corpus.items import captions_of, keyword_list, split_name, text
from engine.errors import InputError, first_line

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

NAMES: Mapping[str, tuple[str, ...]] = {
    "file": (
        "file_name",
        "filename",
        "image_name",
        "file",
        "image",
        "image_path",
        "image_file",
        "img",
        "path",
        "filepath",
        "id",
    ),
    "caption": (
        "caption",
        "captions",
        "text",
        "description",
        "title",
        "alt",
        "alt_text",
        "prompt",
        "raw",
        "comment",
        "sentences",
    ),
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
    if meaning == "caption":
        return next(iter(captions_of(value)), "")
    return split_name(value) if meaning == "split" else text(value)


Table = tuple[list[str], list[dict[str, Any]]]


def read_table(path: Path, needed: Sequence[str] = ()) -> Table:
    """Columns and rows of a CSV, TSV, JSON lines or Parquet file (of Parquet only the columns that mean something here).

    Parameters
    ----------
    needed : sequence of str
        Item columns (or "file") that a row of a CSV file must reach; the cells after them may be left out.

    Raises
    ------
    InputError
        If it is none of these, or cannot be parsed.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InputError(f"{path} is no table: use {', '.join(SUFFIXES)}.")
    with _explained(path):
        return _read_csv(path, needed) if read is _read_csv else read(path)


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file without their ends. Raises ``InputError`` if it cannot be read."""
    with _explained(path), path.open(encoding="utf-8-sig") as file:
        for line in file:
            yield line.rstrip("\n")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"The file {path} does not exist.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from None


def separator_of(header: str) -> str:
    """What stands between the cells of a header line."""
    return max(",;\t|", key=header.count)  # the comma comes first and wins where none occurs


def _read_csv(path: Path, needed: Sequence[str] = ()) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        separator = separator_of(file.readline())
        file.seek(0)
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            columns = next(reader, [])
            known = recognise(columns)
            least = max((columns.index(known[meaning]) + 1 for meaning in needed if meaning in known), default=0)
            table = []
            for cells in reader:
                if not any(cells):
                    continue
                if not least <= len(cells) <= len(columns):
                    raise InputError(
                        f"{path}, line {reader.line_num}: {len(cells)} fields, but the header has {len(columns)}. "
                        f"Put text that holds {_SEPARATORS[separator]} in double quotes."
                    )
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
        raise InputError(f"{path} is not valid Parquet ({first_line(error)}).") from None


_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_READERS: Mapping[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".token": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}
