"""Writing our corpus format: rows in, Parquet shards and their manifest out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.corpus.items import id_fault, keyword_list, split_name, text
from engine.corpus.shards import FORMAT, MANIFEST, SCHEMA, SPLITS
from engine.errors import InputError
from engine.files import atomic_path, sha256, write_json
from engine.progress import Progress, Silent

SHARD_BYTES = 18_000_000
"""Image bytes after which a shard is closed: with its words it stays under 20 MB."""

GROUP_ROWS = 64
"""Rows of a row group, what is read to fetch one image: 64 pictures of 224 x 224 are some 500 kB."""


def write_parquet_corpus(
    path: Path,
    name: str,
    rows: Iterable[Mapping[str, Any]],
    sources: Iterable[Mapping[str, Any]] = (),
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> Path:
    """Write a corpus; the folder appears whole or not at all, and replaces one that was there.

    Parameters
    ----------
    rows
        One mapping an item: ``image`` (encoded bytes) and ``id`` are needed, ``caption``, ``label``, ``keywords``,
        ``source``, ``license``, ``credit`` and ``split`` (train, validation, test or none) are optional.
    sources
        What the items come from, for the manifest: any JSON objects.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    InputError
        If an id is unfit or occurs twice, an image is not bytes, a split is unknown, or there is no row.
    """
    progress = progress or Silent()
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
            if size >= shard_bytes:
                _close(folder, pending, files)
                pending, size = [], 0
            progress.advance()
        if pending:
            _close(folder, pending, files)
        if not ids:
            raise InputError(f"There is no item to write to {path}.")
        write_json(
            folder / MANIFEST,
            {
                "format": FORMAT,
                "name": name,
                "items": len(ids),
                "splits": dict(sorted(splits.items())),
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
    item["id"], item["image"] = identity, {"bytes": image, "path": identity}
    return item


def _close(folder: Path, rows: list[dict[str, Any]], files: dict[str, dict[str, Any]]) -> None:
    name = f"data-{len(files):05d}.parquet"
    pq.write_table(
        pa.Table.from_pylist(rows, SCHEMA.with_metadata(_huggingface_features())),
        folder / name,
        row_group_size=GROUP_ROWS,
        # Encoded pictures do not compress again; words do.
        compression={column: "NONE" if column.startswith("image") else "ZSTD" for column in _leaves()},
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
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
