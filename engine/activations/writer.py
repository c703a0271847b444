"""Writing a store batch by batch, so that a run that was killed continues where it stopped.

Every batch appends its bytes first and its journal line second. On the next start everything is cut back to what the
last whole line says, which loses at most one batch of work and never leaves a byte nobody wrote down.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from engine.activations.layout import (
    DTYPES,
    EMBEDDINGS,
    FORMAT,
    ITEMS,
    JOURNAL,
    MANIFEST,
    MINOR_WITH_TOKENS,
    SHARD_BYTES,
    SHARDS,
    STARTS,
    TOKENS,
    shard_name,
)
from engine.corpus import Corpus
from engine.errors import AtomscopeError, InputError
from engine.files import atomic_path, explain_os_errors, sha256, write_json

_EMBEDDINGS_SO_FAR = "embeddings.partial"


class StoreWriter:
    """An unfinished store, open for one process.

    Parameters
    ----------
    path : Path
        The store's folder; made if it does not exist.
    job : dict
        Everything that decides the store's bytes. A folder begun with another job is refused.

    Attributes
    ----------
    batches_done : int
        Batches already in the store: continue with this one.
    stored : list of int
        Corpus index of every stored item, in order.
    skipped : list of (int, str)
        Corpus index of every unreadable item and why it was left out.
    """

    def __init__(self, path: Path, job: dict[str, Any]) -> None:
        self.path = path
        self._job = job
        backbone = job["backbone"]
        self._shape = (int(job["positions"]), int(backbone["d_model"]))
        self._dtype = DTYPES[job["dtype"]]
        self._item_bytes = self._shape[0] * self._shape[1] * self._dtype.itemsize
        self._row_bytes = int(backbone["embedding_dim"]) * 4
        self._batches_per_shard = max(1, SHARD_BYTES // (job["batch_size"] * self._item_bytes))
        self.batches_done = 0
        self.stored: list[int] = []
        self.skipped: list[tuple[int, str]] = []
        self._shards: list[dict[str, Any]] = []
        self._shard_items = 0
        self._shard: FileIO | None = None
        with explain_os_errors(path):
            (path / SHARDS).mkdir(parents=True, exist_ok=True)
            self._journal = (path / JOURNAL).open("a+b")
            self._lock()
            self._resume()
            self._embeddings = self._cut(path / _EMBEDDINGS_SO_FAR, len(self.stored) * self._row_bytes)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._shard, self._embeddings, self._journal):
            if file is not None:
                file.close()

    def append(
        self,
        indices: Sequence[int],
        activations: np.ndarray,
        embeddings: np.ndarray,
        skipped: Sequence[tuple[int, str]],
    ) -> None:
        """Store one batch: activations [n, P, d] and embeddings [n, e] of the items ``indices`` of the corpus."""
        with explain_os_errors(self.path):
            if self._shard is None:
                self._shard = self._cut(self.path / shard_name(len(self._shards)), self._shard_items * self._item_bytes)
            _write(self._shard, np.ascontiguousarray(activations, self._dtype))
            _write(self._embeddings, np.ascontiguousarray(embeddings, "<f4"))
            self._note(
                {"batch": self.batches_done, "items": list(indices), "skipped": [list(pair) for pair in skipped]}
            )
            self._count(list(indices), list(skipped))
            if self.batches_done % self._batches_per_shard == 0:
                self._close_shard()

    @property
    def batches_per_shard(self) -> int:
        """Batches after which a shard is closed."""
        return self._batches_per_shard

    def close_part(self) -> None:
        """Close the last shard of a part: it is complete, and ready for ``adopt``."""
        if self._shard_items:
            self._close_shard()

    def adopt(self, part: Path) -> None:
        """Take over the shards, embeddings and journal of ``part``, an unfinished store of the batches that come next."""
        with explain_os_errors(self.path):
            lines = [json.loads(line) for line in (part / JOURNAL).read_bytes().splitlines()]
            check_same_job(part, lines[0]["job"], self._job)
            _write(self._embeddings, np.fromfile(part / _EMBEDDINGS_SO_FAR, np.uint8))
            for record in lines[1:]:
                if "shard" in record:
                    shard = record["shard"] | {"file": shard_name(len(self._shards))}
                    os.replace(part / record["shard"]["file"], self.path / shard["file"])
                    self._note({"shard": shard})
                    self._start_shard(shard)
                else:
                    self._note(record | {"batch": self.batches_done})
                    self._count(record["items"], [(index, why) for index, why in record["skipped"]])

    def finish(self, corpus: Corpus, tokens: tuple[np.ndarray, np.ndarray] | None = None) -> dict[str, Any]:
        """Write the tables and the manifest: from here on the folder is a store. Returns the manifest.

        ``tokens`` are, for a text corpus, token ids and where each begins in its text, int32 [items, P]; the embeddings of
        such a corpus are centred.
        """
        with explain_os_errors(self.path):
            self._close_shard()
            self._embeddings.close()
            with atomic_path(self.path / EMBEDDINGS) as temporary, temporary.open("wb") as file:
                rows = np.fromfile(self.path / _EMBEDDINGS_SO_FAR, "<f4").reshape(len(self.stored), -1)
                if tokens is not None:
                    rows = _centred(rows)
                np.save(file, rows, allow_pickle=False)
            items = corpus.items.iloc[self.stored].reset_index(drop=True)
            items["corpus_index"] = pd.array(self.stored, dtype="int32")
            with atomic_path(self.path / ITEMS) as temporary:
                items.to_parquet(temporary, index=False)
            tables, form = [EMBEDDINGS, ITEMS], FORMAT
            if tokens is not None:
                for name, array in zip((TOKENS, STARTS), tokens, strict=True):
                    with atomic_path(self.path / name) as temporary, temporary.open("wb") as file:
                        np.save(file, array.astype("<i4"), allow_pickle=False)
                tables, form = [*tables, TOKENS, STARTS], FORMAT | {"minor": MINOR_WITH_TOKENS}
            splits = {str(name): int(count) for name, count in items["split"].value_counts(sort=False).items()}
            ids = corpus.items["id"]
            manifest = {
                "format": form,
                "dtype": self._job["dtype"],
                "items": len(self.stored),
                "positions": self._shape[0],
                "d_model": self._shape[1],
                "embedding_dim": self._job["backbone"]["embedding_dim"],
                "backbone": self._job["backbone"],
                "corpus": self._job["corpus"] | {"splits": splits, "path": str(corpus.path)},
                "extraction": {key: self._job[key] for key in ("batch_size", "limit", "packages")},
                "skipped": [{"corpus_index": i, "id": str(ids.iat[i]), "reason": why} for i, why in self.skipped],
                "shards": self._shards,
                "files": {name: self._describe(self.path / name) for name in tables},
            }
            write_json(self.path / MANIFEST, manifest)
            (self.path / _EMBEDDINGS_SO_FAR).unlink()
            (self.path / JOURNAL).unlink()
        return manifest

    def _lock(self) -> None:
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AtomscopeError(f"Another process is writing {self.path}; wait for it or choose another -o.") from None

    def _resume(self) -> None:
        """Read the journal, drop a torn last line, and set the state it describes."""
        self._journal.seek(0)
        text = self._journal.read()
        whole = text.rfind(b"\n") + 1
        os.truncate(self.path / JOURNAL, whole)
        lines = text[:whole].splitlines()
        if not lines:
            self._note({"job": self._job})
            return
        check_same_job(self.path, json.loads(lines[0])["job"], self._job)
        for line in lines[1:]:
            record = json.loads(line)
            if "shard" in record:
                self._cut(self.path / record["shard"]["file"], record["shard"]["bytes"]).close()
                self._start_shard(record["shard"])
            else:
                self._count(record["items"], [(index, why) for index, why in record["skipped"]])
        if self._shard_items and self.batches_done % self._batches_per_shard == 0:
            self._close_shard()  # killed between a shard's last batch and its hash

    def _count(self, indices: list[int], skipped: list[tuple[int, str]]) -> None:
        self.batches_done += 1
        self._shard_items += len(indices)
        self.stored += indices
        self.skipped += skipped

    def _close_shard(self) -> None:
        if self._shard is not None:
            os.fsync(self._shard.fileno())
            self._shard.close()
            self._shard = None
        path = self.path / shard_name(len(self._shards))
        if self._shard_items == 0:  # every picture of it was unreadable
            path.unlink(missing_ok=True)
            return
        self._cut(path, self._shard_items * self._item_bytes).close()
        record = {"file": shard_name(len(self._shards)), "items": self._shard_items, **self._describe(path)}
        self._note({"shard": record})
        self._start_shard(record)

    def _start_shard(self, finished: dict[str, Any]) -> None:
        self._shards.append(finished)
        self._shard_items = 0

    def _note(self, record: dict[str, Any]) -> None:
        self._journal.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._journal.flush()

    def _cut(self, path: Path, size: int) -> FileIO:
        """Open ``path`` for appending after its first ``size`` bytes, which the journal vouches for."""
        file = path.open("ab", buffering=0)  # an error shows where the bytes are written, not when the file is closed
        if file.tell() < size:
            file.close()
            raise AtomscopeError(
                f"{path} is shorter than its journal says (the machine may have gone down while writing). Delete "
                f"{self.path} and run the same command again."
            )
        if file.tell() > size:
            file.truncate(size)
        return file

    @staticmethod
    def _describe(path: Path) -> dict[str, Any]:
        return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def _write(file: FileIO, array: np.ndarray) -> None:
    """Write all of ``array``; an unbuffered file takes what it can at a time."""
    left = array.reshape(-1).view(np.uint8).data
    while left:
        left = left[file.write(left) :]


def _centred(rows: np.ndarray) -> np.ndarray:
    """Unit rows less their mean, again of length 1 (a single row stays): hidden states of texts share a large direction."""
    if len(rows) < 2:
        return rows
    centred = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.where(length > 0, centred / np.maximum(length, 1e-12), rows).astype(np.float32)


def begun_batch_size(path: Path) -> int | None:
    """The batch size of the unfinished store in ``path``, None when there is none."""
    if not (path / JOURNAL).is_file():
        return None
    with (path / JOURNAL).open("rb") as file:
        line = file.readline()
    return int(json.loads(line)["job"]["batch_size"]) if line.endswith(b"\n") else None


def check_same_job(path: Path, begun: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to mix two extractions in one folder; the sentence names the first thing that differs."""
    for key in ("dtype", "limit", "batch_size"):
        if begun[key] != wanted[key]:
            _refuse(path, key.replace("_", " "), begun[key], wanted[key])
    names = {"name": "model", "revision": "model revision", "layer_index": "layer"}
    for key in ("name", "revision", "layer_index", "site", "tokens", "preprocessing"):
        if begun["backbone"][key] != wanted["backbone"][key]:
            _refuse(path, names.get(key, key), begun["backbone"][key], wanted["backbone"][key])
    if begun["corpus"]["hash"] != wanted["corpus"]["hash"]:
        raise InputError(
            f"{path} was made from another corpus, or the corpus has changed. Delete it or choose another -o."
        )


def _refuse(path: Path, what: str, begun: Any, wanted: Any) -> None:
    raise InputError(f"{path} was begun with {what} {begun}, not {wanted}. Delete it or choose another -o.")
