"""Reading a store: memory-mapped, by item or as batches of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.activations.layout import DTYPES, EMBEDDINGS, ITEMS, STARTS, TOKENS, content_hash, read_manifest
from engine.activations.shuffling import BUFFER_BYTES, TokenBatch, ordered, shuffled
from engine.errors import InputError
from engine.files import sha256


class ActivationStore:
    """A finished store. Opening it reads the manifest only; activations stay on disk until they are asked for.

    Attributes
    ----------
    path : Path
    manifest : dict
        See ``FORMAT.md``.
    hash : str
        SHA-256 that names the content, wherever the store and its corpus lie.
    n_items, n_positions, n_tokens, d_model : int
        Stored items, P, their product, and d.
    dtype : str
        How numbers are stored; they are always read as float32.
    backbone, corpus : dict
        The spec of the model, and name, hash, items, splits and path of the corpus.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.hash = content_hash(manifest)
        self.n_items = int(manifest["items"])
        self.n_positions = int(manifest["positions"])
        self.n_tokens = self.n_items * self.n_positions
        self.d_model = int(manifest["d_model"])
        self.dtype = str(manifest["dtype"])
        self.backbone: dict[str, Any] = manifest["backbone"]
        self.corpus: dict[str, Any] = manifest["corpus"]
        self._first = np.cumsum([0] + [shard["items"] for shard in manifest["shards"]])
        self._maps: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, path: str | Path) -> ActivationStore:
        """Open a finished store.

        Raises
        ------
        InputError
            If there is none, it is unfinished or newer than this version, or a file is missing or of the wrong size.
        """
        root = Path(path)
        manifest = read_manifest(root)
        try:
            store = cls(root, manifest)
            described = store._described()
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"The manifest of {root} is damaged ({type(error).__name__}: {error}).") from error
        for name, entry in described.items():
            size = (root / name).stat().st_size if (root / name).is_file() else None
            if size != entry["bytes"]:
                fault = "is missing" if size is None else f"has {size:,} bytes instead of {entry['bytes']:,}"
                raise InputError(f"The store {root} is damaged: {name} {fault}. Delete it and extract again.")
        return store

    def verify(self) -> None:
        """Read every byte and compare it with the manifest's hashes.

        Raises
        ------
        InputError
            Naming the first file that differs.
        """
        for name, entry in self._described().items():
            if sha256(self.path / name) != entry["sha256"]:
                raise InputError(f"The store {self.path} is damaged: {name} has changed since it was written.")

    @cached_property
    def items(self) -> pd.DataFrame:
        """One row per stored item (RangeIndex = item): the corpus columns and ``corpus_index``."""
        return pd.read_parquet(self.path / ITEMS)

    @cached_property
    def embeddings(self) -> np.ndarray:
        """Image embeddings, float32 [n_items, e], rows of length 1, memory-mapped."""
        return np.asarray(np.load(self.path / EMBEDDINGS, mmap_mode="r", allow_pickle=False))

    @cached_property
    def token_ids(self) -> np.ndarray | None:
        """Token id of every position of a store of texts, int32 [n_items, P], memory-mapped; None for pictures."""
        return self._token_table(TOKENS)

    @cached_property
    def token_starts(self) -> np.ndarray | None:
        """Where each token begins in its chunk's text (the item's ``caption``), characters, int32 [n_items, P]; or None."""
        return self._token_table(STARTS)

    def _token_table(self, name: str) -> np.ndarray | None:
        if name not in self.manifest["files"]:
            return None
        return np.asarray(np.load(self.path / name, mmap_mode="r", allow_pickle=False))

    @property
    def splits(self) -> dict[str, int]:
        """Stored items of every split."""
        return dict(self.corpus["splits"])

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Item rows of one split, ascending; of all splits when it is None."""
        if split is None:
            return np.arange(self.n_items, dtype=np.int64)
        return np.flatnonzero((self.items["split"] == split).to_numpy()).astype(np.int64)

    def item(self, item: int) -> Tensor:
        """Activations of one item, float32 [P, d]: a copy."""
        if not 0 <= item < self.n_items:
            raise IndexError(f"item {item} of {self.n_items}")
        return torch.from_numpy(self._read(item, 0, self.n_positions).astype(np.float32))

    def batches(
        self,
        batch_tokens: int,
        rows: NDArray[np.int64] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> Iterator[TokenBatch]:
        """One pass over the tokens of ``rows``, in batches of ``batch_tokens``; only the last may be smaller.

        Parameters
        ----------
        batch_tokens : int
            Tokens a batch.
        rows : int64 [n], optional
            Items to read; all of them by default. Unshuffled batches keep their order.
        shuffle : bool
            Deal the tokens out in random order, mixed over nearly the whole store. The order follows from
            ``(seed, epoch)`` and not from where reading starts.
        start : int
            Skip this many batches without reading them.
        buffer_bytes : int
            Memory for mixing: the larger, the better mixed.

        Yields
        ------
        TokenBatch
            ``x`` float32 [n, d] and ``tokens`` int64 [n], where a token is item * P + position.
        """
        if batch_tokens < 1:
            raise ValueError("batch_tokens must be at least 1")
        chosen = self.rows() if rows is None else np.asarray(rows, dtype=np.int64)
        if not shuffle:
            return ordered(self._read, chosen, self.n_positions, batch_tokens, start)
        layout = (self.n_positions, self.d_model, DTYPES[self.dtype])
        return shuffled(self._read, chosen, *layout, batch_tokens, (seed, epoch), start, buffer_bytes)

    def locate(self, item: int) -> tuple[str, int]:
        """The shard file that holds ``item``, relative to the store, and the item's row in it."""
        shard = int(np.searchsorted(self._first, item, side="right")) - 1
        return str(self.manifest["shards"][shard]["file"]), int(item - self._first[shard])

    def _read(self, item: int, first: int, last: int) -> np.ndarray:
        """Positions ``first`` to ``last - 1`` of one item, as stored: a view of the memory map."""
        shard = int(np.searchsorted(self._first, item, side="right")) - 1
        if shard not in self._maps:
            entry = self.manifest["shards"][shard]
            shape = (entry["items"], self.n_positions, self.d_model)
            # "c": a private copy on write. The file is never written to, and torch can wrap the pages without a warning.
            self._maps[shard] = np.memmap(self.path / entry["file"], DTYPES[self.dtype], mode="c", shape=shape)
        return self._maps[shard][item - self._first[shard], first:last]

    def _described(self) -> dict[str, dict[str, Any]]:
        """Every file the manifest answers for."""
        shards = {str(shard["file"]): shard for shard in self.manifest["shards"]}
        return shards | dict(self.manifest["files"])
