"""Exact nearest neighbours over normalised float32 vectors in a memory-mapped file.

Scores are cosines rounded to six decimals, which is what float32 sums carry: equal vectors then tie whatever block of the
matrix they lie in, and every index puts them in the same order. Ties go by row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 32 * 2**20
"""Vectors scored at a time: enough to keep the processor busy, little enough to stay in memory."""

DECIMALS = 6

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]


class Index(Protocol):
    """Nearest neighbours of a query among the rows of a collection."""

    width: int

    def __len__(self) -> int: ...

    def search(self, query: Scores, k: int, rows: Rows | None = None) -> tuple[Rows, Scores]:
        """The ``k`` rows with the largest cosine to ``query`` [d], best first, ties by row; fewer if there are fewer.

        ``rows`` (ascending) restricts the search. Returns rows int64 [k] and cosines float32 [k].
        """

    def scores(self, query: Scores, rows: Rows | None = None) -> Scores:
        """Cosines of ``query`` [d] to all ``rows``, float32 [n], in the order of the rows."""


class ExactIndex:
    """Exact search in ``vectors`` float32 [N, d], rows of length 1 (or 0), usually memory-mapped.

    No matrix of queries x rows is ever held: rows go through in blocks.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors
        self.width = int(vectors.shape[1])
        self._block = max(1, BLOCK_BYTES // (4 * self.width))

    @classmethod
    def open(cls, path: Path) -> ExactIndex:
        """Map a ``.npy`` file."""
        return cls(np.load(path, mmap_mode="r", allow_pickle=False))

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, query: Scores, k: int, rows: Rows | None = None) -> tuple[Rows, Scores]:
        found, scores = self.search_many(query[None], k, rows)
        return found[0], scores[0]

    def search_many(self, queries: NDArray[np.float32], k: int, rows: Rows | None = None) -> tuple[Rows, Scores]:
        """``search`` for Q queries at once: rows int64 [Q, k] and cosines float32 [Q, k]."""
        count = len(self) if rows is None else len(rows)
        k = min(k, count)
        best = np.full((len(queries), 0), -np.inf, np.float32)
        where = np.zeros((len(queries), 0), np.int64)
        for start in range(0, count, self._block):
            place, block = self._take(rows, start, count)
            scores = _rounded(queries @ block.T)
            best = np.concatenate([best, scores], axis=1)
            where = np.concatenate([where, np.broadcast_to(place, scores.shape)], axis=1)
            kept = np.stack([top(line, k) for line in best])
            best, where = np.take_along_axis(best, kept, 1), np.take_along_axis(where, kept, 1)
        return where, best

    def scores(self, query: Scores, rows: Rows | None = None) -> Scores:
        count = len(self) if rows is None else len(rows)
        found = np.empty(count, np.float32)
        for start in range(0, count, self._block):
            _, block = self._take(rows, start, count)
            found[start : start + len(block)] = block @ query
        return _rounded(found)

    def _take(self, rows: Rows | None, start: int, count: int) -> tuple[Rows, NDArray[np.float32]]:
        stop = min(start + self._block, count)
        if rows is None:
            return np.arange(start, stop, dtype=np.int64), self._vectors[start:stop]
        return rows[start:stop], self._vectors[rows[start:stop]]


def top(scores: Scores, k: int) -> Rows:
    """Positions of the ``k`` largest of ``scores`` [n], best first, ties by position."""
    if k >= len(scores):
        return np.argsort(-scores, kind="stable")
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    among = np.flatnonzero(scores >= least)
    chosen: Rows = among[np.argsort(-scores[among], kind="stable")[:k]]
    return chosen


def _rounded(scores: NDArray[np.float32]) -> Scores:
    return np.round(scores, DECIMALS)
