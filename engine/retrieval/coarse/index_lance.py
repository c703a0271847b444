"""The index in LanceDB: for collections that outgrow memory. Exact (flat) search, so its answers are ``ExactIndex``'s."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.backbones.vectors import Vectors
from engine.errors import AtomscopeError
from engine.files import explain_os_errors
from engine.retrieval.coarse.index import DECIMALS, Rows, Scores

_BLOCK = 8192
_SLACK = 32
"""Rows asked for beyond ``k``: LanceDB orders equal distances as it likes, and ties go by row here."""


class LanceIndex:
    """A table of rows and vectors on disk. See :meth:`build`."""

    def __init__(self, table: Any, width: int) -> None:
        self._table = table
        self._count = int(table.count_rows())
        self.width = width

    @classmethod
    def build(cls, folder: Path, name: str, vectors: Vectors) -> LanceIndex:
        """The table ``name`` in ``folder``, written from ``vectors`` float32 [N, d] unless it is there already.

        Raises
        ------
        AtomscopeError
            If LanceDB is not installed, or the disk is full.
        """
        try:
            database = import_module("lancedb").connect(str(folder))
        except ImportError as error:
            raise AtomscopeError(
                f"The lance index needs LanceDB ({error}). Install it with: pip install 'atomscope[lance]'"
            ) from error
        count, width = vectors.shape
        try:
            table = database.open_table(name)
            if table.count_rows() == count:
                return cls(table, width)
        except (ValueError, FileNotFoundError):  # not written yet
            pass
        schema = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float32(), width))])
        with explain_os_errors(folder):
            table = database.create_table(name, data=_batches(vectors), schema=schema, mode="overwrite")
        return cls(table, width)

    def __len__(self) -> int:
        return self._count

    def search(self, query: Scores, k: int, rows: Rows | None = None) -> tuple[Rows, Scores]:
        asked = self._table.search(query).distance_type("dot")
        if rows is not None and len(rows) < self._count:
            asked = asked.where(f"row IN ({', '.join(map(str, rows))})", prefilter=True)
        k = min(k, self._count if rows is None else len(rows))
        places, scores = _read(asked.limit(k + _SLACK))
        order = np.lexsort((places, -scores))[:k]
        return places[order], scores[order]

    def scores(self, query: Scores, rows: Rows | None = None) -> Scores:
        places, scores = _read(self._table.search(query).distance_type("dot").limit(self._count))
        found = np.empty(self._count, np.float32)
        found[places] = scores
        return found if rows is None else found[rows]


def _read(asked: Any) -> tuple[Rows, Scores]:
    """Rows and cosines of an answer; of unit vectors LanceDB's dot distance is 1 - cosine."""
    table = asked.select(["row", "_distance"]).to_arrow()
    cosines = 1 - table["_distance"].to_numpy()
    return table["row"].to_numpy(), np.round(cosines, DECIMALS).astype(np.float32)


def _batches(vectors: Vectors) -> Iterator[pa.RecordBatch]:
    count, width = vectors.shape
    for start in range(0, count, _BLOCK):
        block = np.ascontiguousarray(vectors[start : start + _BLOCK])
        values = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), width)
        yield pa.record_batch({"row": pa.array(np.arange(start, start + len(block))), "vector": values})
