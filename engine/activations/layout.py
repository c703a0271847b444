"""Names, versions and the manifest of an activation store. The format is specified in ``FORMAT.md``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.files import read_json

FORMAT = {"name": "atomscope-activations", "major": 1, "minor": 0}
MINOR_WITH_TOKENS = 1
"""The minor version of a store of texts; a store of pictures is written as 1.0, with the same bytes as ever."""
MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"
ITEMS = "items.parquet"
EMBEDDINGS = "embeddings.npy"
TOKENS, STARTS = "tokens.npy", "starts.npy"
SHARDS = "shards"

DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
SHARD_BYTES = 256_000_000


def shard_name(index: int) -> str:
    """Path of a shard inside the store."""
    return f"{SHARDS}/{index:05d}.bin"


def content_hash(manifest: dict[str, Any]) -> str:
    """SHA-256 that names the content of a store, wherever it and its corpus lie."""
    corpus = {key: value for key, value in manifest["corpus"].items() if key != "path"}
    text = json.dumps(manifest | {"corpus": corpus}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a finished store.

    Raises
    ------
    InputError
        If there is no store, it is unfinished, or it was written by a newer version.
    """
    if not path.is_dir():
        raise InputError(f"There is no activation store at {path}.")
    if not (path / MANIFEST).is_file():
        if (path / JOURNAL).is_file():
            raise InputError(
                f"The store {path} is not finished: run the same atomscope extract command again to finish it."
            )
        raise InputError(f"{path} is not an activation store (it has no {MANIFEST}); make one with atomscope extract.")
    manifest = read_json(path / MANIFEST)
    kind = manifest.get("format", {}) if isinstance(manifest, dict) else {}
    if kind.get("name") != FORMAT["name"]:
        raise InputError(f"{path} is not an activation store: its {MANIFEST} describes something else.")
    if kind.get("major", 0) > FORMAT["major"]:
        raise InputError(
            f"The store {path} has format {kind['major']}.{kind.get('minor', 0)}, newer than this Atomscope reads "
            f"({FORMAT['major']}.x). Update Atomscope."
        )
    return dict(manifest)
