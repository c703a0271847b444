"""Our own corpus format, Parquet shards with a manifest: reader and validator. FORMAT.md here specifies it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.corpus.base import Corpus, digest_items
from engine.corpus.images import UnreadableItem, decode_image
from engine.corpus.items import id_fault, items_frame, keyword_list, text
from engine.corpus.parquet_images import ParquetImages
from engine.errors import InputError, first_line
from engine.files import read_json, sha256
from engine.progress import Progress, SilentProgress, track

MANIFEST = "corpus.json"
FORMAT = {"name": "atomscope-corpus", "major": 1, "minor": 0}
SPLITS = ("train", "validation", "test", "")
_TEXT = ("id", "caption", "label", "source", "license", "credit", "split")
SCHEMA = pa.schema(
    [
        pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])),
        pa.field("id", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("label", pa.string()),
        pa.field("keywords", pa.list_(pa.string())),
        pa.field("source", pa.string()),
        pa.field("license", pa.string()),
        pa.field("credit", pa.string()),
        pa.field("split", pa.string()),
    ]
)


def open_shards(root: Path) -> Corpus:
    """The corpus whose ``corpus.json`` lies in ``root`` (resolved).

    Raises
    ------
    InputError
        If the manifest or a shard is not as FORMAT.md says, or is of a newer major version. Only ``validate_corpus``
        reads every byte; here the sizes are compared.
    """
    manifest = read_manifest(root)
    files: dict[str, Any] = manifest["files"]
    for name, stated in files.items():
        if not (root / name).is_file():
            raise InputError(f"The corpus {root} lacks its shard {name}. Copy the whole folder again.")
        if (size := (root / name).stat().st_size) != stated.get("bytes"):
            raise InputError(
                f"{root / name} has {size:,} bytes, {MANIFEST} says {stated.get('bytes')}: copy the corpus again."
            )
    table = _read_words(root, list(files))
    items = items_frame(
        {column: [text(value) for value in table[column]] for column in _TEXT}
        | {"keywords": [keyword_list([] if words is None else words) for words in table["keywords"]]}
    )
    if fault := next(_item_faults(items, manifest), None):
        raise InputError(f"The corpus {root} is damaged: {fault}")
    contents = [f"{name} {stated.get('sha256')}" for name, stated in sorted(files.items())]
    images = ParquetImages(root, list(files), "image")
    return Corpus(str(manifest["name"]), root, items, images, lambda: digest_items(items, contents))


def read_manifest(root: Path) -> dict[str, Any]:
    """``corpus.json``, checked as far as it goes without opening a shard. Raises ``InputError``."""
    path = root / MANIFEST
    manifest = read_json(path)
    form = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(form, dict) or form.get("name") != FORMAT["name"] or not isinstance(form.get("major"), int):
        raise InputError(f"{path} does not describe an Atomscope corpus (format.name is not {FORMAT['name']!r}).")
    if form["major"] > FORMAT["major"]:
        raise InputError(
            f"The corpus {root} has format {form['major']}, this Atomscope reads up to {FORMAT['major']}: "
            "update Atomscope."
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not files or not isinstance(manifest.get("name"), str):
        raise InputError(f"{path} lacks its name or its list of files.")
    for name, stated in files.items():
        if not re.fullmatch(r"[\w][\w.-]*\.parquet", name) or not isinstance(stated, dict):
            raise InputError(f"{path} lists the file {name!r}, which is not the plain name of a Parquet shard.")
    return manifest


def validate_corpus(root: Path, images: bool = True, progress: Progress | None = None) -> list[str]:
    """Everything that is wrong with a corpus in our format, one sentence per fault; empty if it is sound.

    Parameters
    ----------
    images
        Decode every image too.
    """
    progress = progress or SilentProgress()
    root = root.resolve()
    try:
        manifest = read_manifest(root)
    except InputError as error:
        return [str(error)]
    faults = []
    for name, stated in track(manifest["files"].items(), progress, "hashing shards", len(manifest["files"]), "files"):
        path = root / name
        if not path.is_file():
            faults.append(f"{name} is missing.")
        elif sha256(path) != stated.get("sha256") or path.stat().st_size != stated.get("bytes"):
            faults.append(f"{name} does not have the bytes and the sha256 that {MANIFEST} states.")
        elif (count := _count(path)) != stated.get("items"):
            faults.append(f"{name} holds {count} items, {MANIFEST} states {stated.get('items')}.")
    if faults:
        return faults
    try:
        corpus = open_shards(root)
    except InputError as error:
        return [str(error)]
    faults += _item_faults(corpus.items, manifest)
    for item in track(range(len(corpus)) if images else (), progress, "decoding images", len(corpus)):
        try:
            decode_image(corpus.image_bytes(item), name=str(corpus.items["id"].iat[item]))
        except UnreadableItem as error:
            faults.append(str(error))
    return faults


def _count(path: Path) -> int | None:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return None


def _read_words(root: Path, names: list[str]) -> dict[str, list[Any]]:
    """Every column but the image, all shards in order."""
    columns = [name for name in SCHEMA.names if name != "image"]
    tables = []
    for name in names:
        try:
            with pq.ParquetFile(root / name, page_checksum_verification=True) as file:
                if missing := set(SCHEMA.names) - set(file.schema_arrow.names):
                    raise InputError(f"{root / name} lacks the column {min(missing)!r}.")
                tables.append(file.read(columns=columns).select(columns))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{root / name} is damaged ({first_line(error)}).") from None
    try:
        merged = pa.concat_tables([table.replace_schema_metadata() for table in tables])
    except pa.ArrowException as error:
        raise InputError(f"The shards of {root} differ in their columns ({first_line(error)}).") from None
    return {column: merged.column(column).to_pylist() for column in columns}


def _item_faults(items: pd.DataFrame, manifest: dict[str, Any]) -> Iterator[str]:
    if len(items) != manifest.get("items"):
        yield f"its shards hold {len(items):,} items, {MANIFEST} states {manifest.get('items')}."
    counts = {str(split): int(count) for split, count in items["split"].value_counts().items()}
    stated = manifest.get("splits")
    if not isinstance(stated, dict) or counts != {split: count for split, count in stated.items() if count}:
        yield f"its splits are {counts}, {MANIFEST} states {stated}."
    for split in counts:
        if split not in SPLITS:
            yield f"there is a split {split!r}; splits are {', '.join(SPLITS[:-1])}."
    for identity in items["id"]:
        if fault := id_fault(identity):
            yield f"the id {identity!r} {fault}."
    if not items["id"].is_unique:
        yield f"the id {items['id'][items['id'].duplicated()].iloc[0]!r} occurs twice."
