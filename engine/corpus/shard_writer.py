"""Writing our corpus format: rows in, Parquet shards and their manifest out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.corpus.items import id_fault, keyword_list, split_name, text
from engine.corpus.shards import FORMAT, MANIFEST, SCHEMA, SPLITS
from engine.errors import InputError
from engine.files import atomic_path, sha256, write_json
from engine.progress import Progress, SilentProgress

SHARD_BYTES = 18_000_000
"""Image bytes after which a shard is closed: with its words it stays under 20 MB."""

GROUP_ROWS = 64
"""Rows of a row group, what is read to fetch one image: 64 pictures of 224 x 224 are some 500 kB."""


@dataclass(frozen=True)
class Encoding:
    """How a shard is laid out in Parquet; to a reader, every choice is the same corpus.

    Attributes
    ----------
    group_rows : int
        Rows of a row group.
    features : bool
        Whether the schema tells Hugging Face's datasets library to show the column ``image`` as pictures.
    options : mapping
        Further options of ``pyarrow.parquet.write_table``.
    """

    group_rows: int
    features: bool
    options: Mapping[str, Any]


def write_parquet_corpus(
    path: Path,
    name: str,
    rows: Iterable[Mapping[str, Any]],
    sources: Iterable[Mapping[str, Any]] = (),
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
    shard_items: int | None = None,
    encoding: Encoding | None = None,
) -> Path:
    """Write a corpus; the folder appears whole or not at all, and replaces one that was there.

    Parameters
    ----------
    rows
        One mapping per item: ``image`` (encoded bytes) and ``id`` are needed, ``caption``, ``label``, ``keywords``,
        ``source``, ``license``, ``credit`` and ``split`` (train, validation, test or none) are optional, and so is
        ``path``, the picture's name for the eye (default: the id).
    sources
        What the items come from, for the manifest: any JSON objects.
    shard_bytes, shard_items
        A shard is closed after so many bytes of pictures, or where given after so many items instead.
    encoding
        Default: ``DEFAULT``, pictures stored as they are and pages with checksums.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    InputError
        If an id is unfit or occurs twice, an image is not bytes, a split is unknown, or there is no row.
    """
    progress = progress or SilentProgress()
    progress.start("writing the corpus", None)
    with atomic_path(path) as folder:
        folder.mkdir()
        ids: set[str] = set()
        splits: Counter[str] = Counter()
        pending: list[dict[str, Any]] = []
        files: dict[str, dict[str, Any]] = {}
        size = 0
        for row in rows:
            item = _item(row, ids)
            splits[item["split"]] += 1
            pending.append(item)
            size += len(item["image"]["bytes"])
            if size >= shard_bytes if shard_items is None else len(pending) == shard_items:
                _close(folder, pending, files, encoding or DEFAULT)
                pending, size = [], 0
            progress.advance()
        if pending:
            _close(folder, pending, files, encoding or DEFAULT)
        if not ids:
            raise InputError(f"There is no item to write to {path}.")
        write_json(
            folder / MANIFEST,
            {
                "format": FORMAT,
                "name": name,
                "items": len(ids),
                "splits": {split: splits[split] for split in SPLITS if splits[split]},
                "files": files,
                "sources": [dict(source) for source in sources],
            },
        )
    progress.finish()
    return path


def _item(row: Mapping[str, Any], ids: set[str]) -> dict[str, Any]:
    identity, image = text(row["id"]), row["image"]
    if fault := id_fault(identity):
        raise InputError(f"The id {identity!r} {fault}.")
    if identity in ids:
        raise InputError(f"The id {identity!r} occurs twice.")
    if not isinstance(image, bytes):
        raise InputError(f"The image of {identity} is not bytes.")
    ids.add(identity)
    item: dict[str, Any] = {column: text(row.get(column)) for column in SCHEMA.names}
    item["split"] = split_name(row.get("split"))
    if item["split"] not in SPLITS:
        raise InputError(f"The split of {identity} is {item['split']!r}; splits are train, validation and test.")
    keywords = row.get("keywords")
    item["keywords"] = keyword_list([] if keywords is None else keywords)
    item["id"], item["image"] = identity, {"bytes": image, "path": text(row.get("path")) or identity}
    return item


def _close(folder: Path, rows: list[dict[str, Any]], files: dict[str, dict[str, Any]], encoding: Encoding) -> None:
    name = f"data-{len(files):05d}.parquet"
    schema = SCHEMA.with_metadata(_huggingface_features()) if encoding.features else SCHEMA
    table = pa.Table.from_pylist(rows, schema)
    pq.write_table(table, folder / name, row_group_size=encoding.group_rows, **encoding.options)
    files[name] = {
        "sha256": sha256(folder / name),
        "bytes": (folder / name).stat().st_size,
        "items": len(rows),
    }


def _leaves() -> list[str]:
    """Names of the leaf columns, as Parquet's writer options want them."""
    nested = {"image": ["image.bytes", "image.path"], "keywords": ["keywords.list.element"]}
    return [leaf for name in SCHEMA.names for leaf in nested.get(name, [name])]


def _huggingface_features() -> dict[str, str]:
    """The schema metadata by which Hugging Face's datasets library shows the column ``image`` as pictures."""
    string = {"dtype": "string", "_type": "Value"}
    features: dict[str, Any] = dict.fromkeys(SCHEMA.names, string)
    features["image"] = {"_type": "Image"}
    features["keywords"] = {"feature": string, "_type": "List"}
    return {"huggingface": json.dumps({"info": {"features": features}})}


DEFAULT = Encoding(
    GROUP_ROWS,
    True,
    {
        # Encoded pictures do not compress again; words do.
        "compression": {column: "NONE" if column.startswith("image") else "ZSTD" for column in _leaves()},
        "use_dictionary": False,
        "write_statistics": False,
        "write_page_checksum": True,
    },
)
