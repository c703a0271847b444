"""The demo corpus on disk: Parquet shards in the layout of a Hugging Face ``Image`` column, and ``corpus.json``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.demo.candidates import Candidate
from engine.files import atomic_path, sha256, write_json

FORMAT = {"name": "atomscope-corpus", "major": 1, "minor": 0}
NAME = "atomscope-demo"
_ROW_GROUP = 128  # small, so that one picture can be read without reading its whole shard
_SHARD_BYTES = 15_000_000

SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("id", pa.string()),
        ("caption", pa.string()),
        ("label", pa.string()),
        ("keywords", pa.list_(pa.string())),
        ("source", pa.string()),
        ("license", pa.string()),
        ("credit", pa.string()),
        ("split", pa.string()),
    ]
)


def write_corpus(
    out: Path,
    candidates: Sequence[Candidate],
    images: Sequence[bytes],
    splits: Sequence[str],
    sources: list[dict[str, str]],
) -> dict[str, Any]:
    """Write the corpus folder ``out`` atomically and return its ``corpus.json``.

    Items stand in an order drawn from their ids, so that the head of the corpus is a fair sample of it.
    """
    order = sorted(range(len(candidates)), key=lambda i: hashlib.sha256(candidates[i].id.encode()).digest())
    shards = max(1, -(-sum(map(len, images)) // _SHARD_BYTES))
    size = -(-len(order) // shards)
    with atomic_path(out) as temporary:
        temporary.mkdir(parents=True)
        files = {}
        for shard in range(shards):
            name = f"data-{shard:05d}.parquet"
            part = order[shard * size : (shard + 1) * size]
            rows = [_row(candidates[i], images[i], splits[i]) for i in part]
            pq.write_table(
                pa.Table.from_pylist(rows, schema=SCHEMA),
                temporary / name,
                row_group_size=_ROW_GROUP,
                compression="zstd",
            )
            path = temporary / name
            files[name] = {"sha256": sha256(path), "bytes": path.stat().st_size, "items": len(part)}
        counts = Counter(splits)
        document = {
            "format": FORMAT,
            "name": NAME,
            "items": len(order),
            "splits": {split: counts[split] for split in ("train", "validation", "test")},
            "files": files,
            "sources": sources,
        }
        write_json(temporary / "corpus.json", document)
    return document


def _row(candidate: Candidate, image: bytes, split: str) -> dict[str, Any]:
    return {
        "image": {"bytes": image, "path": f"{candidate.id}.webp"},
        "id": candidate.id,
        "caption": candidate.caption,
        "label": candidate.label,
        "keywords": list(candidate.keywords),
        "source": candidate.source,
        "license": candidate.licence,
        "credit": candidate.credit,
        "split": split,
    }
