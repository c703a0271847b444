"""The demo corpus on disk: the order, the shards and the encoding that its bytes are fixed by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.corpus.shard_writer import Encoding, write_parquet_corpus
from engine.corpus.shards import MANIFEST
from engine.demo.candidates import Candidate
from engine.files import read_json

NAME = "atomscope-demo"
_SHARD_BYTES = 15_000_000
_ENCODING = Encoding(128, False, {"compression": "zstd"})
"""The demo atlas and adapter name the corpus by the hash of its shards, so this stays as it was when they were made."""


def write_corpus(
    out: Path,
    candidates: Sequence[Candidate],
    images: Sequence[bytes],
    splits: Sequence[str],
    sources: list[dict[str, str]],
) -> dict[str, Any]:
    """Write the corpus folder ``out`` atomically and return its ``corpus.json``.

    Items stand in an order drawn from their ids, so that the head of the corpus is a fair sample of it. Shards are as few
    as fit and equally long.
    """
    order = sorted(range(len(candidates)), key=lambda i: hashlib.sha256(candidates[i].id.encode()).digest())
    shards = max(1, -(-sum(map(len, images)) // _SHARD_BYTES))
    rows = (_row(candidates[i], images[i], splits[i]) for i in order)
    write_parquet_corpus(out, NAME, rows, sources, shard_items=-(-len(order) // shards), encoding=_ENCODING)
    document: dict[str, Any] = read_json(out / MANIFEST)
    return document


def _row(candidate: Candidate, image: bytes, split: str) -> dict[str, Any]:
    return {
        "image": image,
        "path": f"{candidate.id}.webp",
        "id": candidate.id,
        "caption": candidate.caption,
        "label": candidate.label,
        "keywords": list(candidate.keywords),
        "source": candidate.source,
        "license": candidate.licence,
        "credit": candidate.credit,
        "split": split,
    }
