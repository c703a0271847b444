"""Data sets in the two layouts of Hugging Face's datasets library, read without it: Parquet files, and the Arrow
folders of ``save_to_disk``."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.corpus.base import Corpus, ItemSource, digest_files, digest_items, several_captions_warning
from engine.corpus.items import captions_of, id_fault, items_frame, text, usual_split
from engine.corpus.parquet_images import ParquetImages, image_cell
from engine.corpus.tables import clean, recognise
from engine.errors import InputError, first_line
from engine.files import read_json

_INFO, _STATE, _DICT = "dataset_info.json", "state.json", "dataset_dict.json"
_IMAGE_NAMES = ("image", "img", "picture", "photo", "jpg", "png", "webp")
_ID_NAMES = ("id", "image_id", "key")
_MEANINGS = ("caption", "label", "split", "keywords", "source", "license", "credit")

Columns = dict[str, list[Any]]


def image_tables(root: Path, files: Iterable[str]) -> list[str]:
    """Those of the Parquet files below ``root`` that hold an image column, in order of their paths."""
    tables = []
    for name in files:
        if name.lower().endswith(".parquet"):
            try:
                schema = pq.read_schema(root / name)
            except (pa.ArrowException, OSError):
                continue  # damaged: if it is a caption file, or the only data there is, opening it says so
            if image_column(schema) is not None:
                tables.append(name)
    return tables


def is_saved_to_disk(root: Path) -> bool:
    """Whether ``root`` was written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``."""
    return (root / _DICT).is_file() or (root / _STATE).is_file()


def open_parquet(root: Path, names: list[str]) -> Corpus:
    """The data set of the Parquet files ``names`` below ``root`` (resolved). Raises ``InputError``."""
    parts: list[Columns] = []
    images = None
    for name in names:
        path = root / name
        try:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                column = _need_image_column(schema, path)
                if images not in (None, column):
                    raise InputError(f"{path} keeps its images in {column!r}, the files before it in {images!r}.")
                images = column
                words = file.read(columns=_word_columns(schema, column))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} is not valid Parquet ({first_line(error)}).") from None
        parts.append(_part(_split_of(name), words, _features(schema, path.parent)))
    assert images is not None  # there is a name, and a file without an image column raised
    title = root.name if len(names) > 1 else PurePosixPath(names[0]).stem
    return _corpus(title, root, parts, ParquetImages(root, names, images), names)


def open_saved(root: Path) -> Corpus:
    """The data set that ``save_to_disk`` wrote to ``root`` (resolved). Raises ``InputError``."""
    parts: list[Columns] = []
    names: list[str] = []
    columns: list[pa.ChunkedArray] = []
    for split in _splits(root):
        folder = root / split
        for name in _arrow_files(folder):
            table = _map_arrow(folder / name)
            column = _need_image_column(table.schema, folder / name)
            words = table.select(_word_columns(table.schema, column))
            parts.append(_part(split or _state(folder).get("_split"), words, _features(table.schema, folder)))
            names.append(f"{split}/{name}" if split else name)
            columns.append(table.column(column))
    return _corpus(root.name, root, parts, ArrowImages(root, names, columns), names)


class ArrowImages:
    """The image columns of memory-mapped Arrow files, one item per row, in the order of the files."""

    def __init__(self, root: Path, names: list[str], columns: list[pa.ChunkedArray]) -> None:
        self._root = root
        self._names = names
        self._columns = columns
        self._ends = np.cumsum([len(column) for column in columns])

    def read(self, item: int) -> bytes:
        index = int(np.searchsorted(self._ends, item, side="right"))
        row = item - (int(self._ends[index - 1]) if index else 0)
        return image_cell(self._columns[index][row].as_py(), self._root, f"row {row} of {self._names[index]}")


def image_column(schema: pa.Schema) -> str | None:
    """The column that holds pictures, None if there is none.

    A struct with binary ``bytes`` (the Image layout) comes before a binary column, and a telling name before another.
    """
    structs = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type)
        and (place := field.type.get_field_index("bytes")) >= 0
        and _is_binary(field.type.field(place).type)
    ]
    plain = [field.name for field in schema if _is_binary(field.type) and field.name.lower() in _IMAGE_NAMES]
    return next(iter([*(name for name in structs if name.lower() in _IMAGE_NAMES), *structs, *plain]), None)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _need_image_column(schema: pa.Schema, path: Path) -> str:
    column = image_column(schema)
    if column is None:
        raise InputError(
            f"{path} has no image column (a struct with bytes and path, or binary); "
            f"its columns: {', '.join(schema.names)}."
        )
    return column


def _word_columns(schema: pa.Schema, image: str) -> list[str]:
    """The columns whose words the items table wants."""
    names = [field.name for field in schema if field.name != image and not _is_binary(field.type)]
    known = recognise(names)
    return [name for name in names if name in known.values() or name in _ID_NAMES]


def _part(split: object, words: pa.Table, features: dict[str, Any]) -> Columns:
    """The items columns of one file; ``split`` is for the rows that state none."""
    known = recognise(words.column_names)
    part: Columns = {}
    for meaning in _MEANINGS:
        name = known.get(meaning)
        cells = words.column(name).to_pylist() if name is not None else [None] * len(words)
        classes = _class_names(features.get(name)) if name is not None else None
        part[meaning] = [clean(meaning, _named(cell, classes)) for cell in cells]
    caption = known.get("caption")
    said = words.column(caption).to_pylist() if caption is not None else []
    part["captions"] = [captions_of(cell) for cell in said] or [()] * len(words)
    part["split"] = [own or clean("split", split) for own in part["split"]]
    name = next((name for name in _ID_NAMES if name in words.column_names), None)
    part["id"] = [text(cell) for cell in words.column(name).to_pylist()] if name else [""] * len(words)
    return part


def _class_names(feature: Any) -> list[str] | None:
    """The names of a ClassLabel feature, or of a list of them."""
    if isinstance(feature, list):
        feature = feature[0] if feature else None
    while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
        feature = feature["feature"]
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    return None


def _named(cell: Any, classes: list[str] | None) -> Any:
    """A class number by its name; -1, which stands for "not labelled", by nothing."""
    if classes is None:
        return cell
    if isinstance(cell, list):
        return [_named(each, classes) for each in cell]
    if not isinstance(cell, int):
        return cell
    return classes[cell] if 0 <= cell < len(classes) else ""


def _corpus(title: str, root: Path, parts: list[Columns], images: ItemSource, files: list[str]) -> Corpus:
    columns: Columns = {column: [] for column in (*_MEANINGS, "id", "captions")}
    for part in parts:
        for column, values in part.items():
            columns[column] += values
    if not columns["id"]:
        raise InputError(f"The data set {root} has no rows.")
    own = columns["id"]
    if len(set(own)) < len(own) or any(map(id_fault, own)):
        columns["id"] = _numbered(columns["split"])
    items = items_frame(columns)
    several = sum(len(said) > 1 for said in columns["captions"])
    warnings = [several_captions_warning(several, len(items))] if several else []
    digest = lambda: digest_items(items, digest_files(root, files))  # noqa: E731
    return Corpus(title, root, items, images, digest, warnings, columns["captions"])


def _numbered(splits: list[str]) -> list[str]:
    """Ids for rows that bring none that are unique and clean: their number inside their split."""
    seen: Counter[str] = Counter()
    ids = []
    for split in splits:
        place = split if split and not id_fault(split) else "rows"
        ids.append(f"{place}/{seen[place]:07d}")
        seen[place] += 1
    return ids


def _split_of(name: str) -> str:
    """The split a Parquet file's path tells: ``data/train-00000-of-00002.parquet``, ``default/test/0000.parquet``."""
    *folders, file = name.split("/")
    words = [re.split(r"[-_.]", file)[0], *reversed(folders)]
    return next((split for word in words if (split := usual_split(word))), "")


def _features(schema: pa.Schema, folder: Path) -> dict[str, Any]:
    """Column -> feature as the datasets library declares it, from the schema's metadata or ``dataset_info.json``."""
    written = (schema.metadata or {}).get(b"huggingface")
    try:
        document = json.loads(written)["info"] if written else read_json(folder / _INFO)
        features = document["features"]
    except (InputError, ValueError, KeyError, TypeError):
        return {}  # the numbers of the classes stand in for their names
    return features if isinstance(features, dict) else {}


def _splits(root: Path) -> list[str]:
    """The sub-folders of a saved DatasetDict; [""] for a single saved Dataset."""
    if not (root / _DICT).is_file():
        return [""]
    document = read_json(root / _DICT)
    splits = document.get("splits") if isinstance(document, dict) else None
    if (
        not isinstance(splits, list)
        or not splits
        or any(not isinstance(name, str) or id_fault(name) for name in splits)
    ):
        raise InputError(f"{root / _DICT} does not list its splits.")
    return splits


def _state(folder: Path) -> dict[str, Any]:
    state = read_json(folder / _STATE)
    return state if isinstance(state, dict) else {}


def _arrow_files(folder: Path) -> list[str]:
    """The Arrow files of one saved Dataset, in order."""
    listed = _state(folder).get("_data_files")
    names = []
    for entry in listed if isinstance(listed, list) else []:
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or id_fault(name) or "/" in name or not (folder / name).is_file():
            raise InputError(f"{folder / _STATE} lists the file {name!r}, which is not in the folder.")
        names.append(name)
    if not names:
        raise InputError(f"{folder / _STATE} lists no data files.")
    return names


def _map_arrow(path: Path) -> pa.Table:
    """An Arrow file, mapped into memory and checked: offsets that point outside it must not be followed later."""
    try:
        mapped = pa.memory_map(str(path))
        try:
            table = pa.ipc.open_stream(mapped).read_all()
        except pa.ArrowInvalid:
            mapped.seek(0)
            table = pa.ipc.open_file(mapped).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a valid Arrow file ({first_line(error)}).") from None
    return table
