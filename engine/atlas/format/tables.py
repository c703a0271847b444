"""Writing tables and arrays of an atlas: Parquet whose row groups hold whole atoms, and arrays without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.atlas.format.schema import arrow_schema

_WRITER: dict[str, Any] = {"compression": "zstd", "version": "2.6"}

TEXT_LEVEL = 12
"""zstd level of what holds whole texts: written once, a fifth smaller than at 3."""


def parquet_options(schema: pa.Schema, level: int = 3) -> dict[str, Any]:
    """Settings of a Parquet writer for a schema: zstd, and no dictionary for floats.

    Measured floats hardly repeat, so a dictionary of them costs a quarter more than the numbers; their bytes, split by
    place, compress (what a reader gets is the same).
    """
    leaves = []
    for field in schema:
        floats = pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type)
        if floats or pa.types.is_floating(field.type):
            leaves.append(f"{field.name}.list.element" if floats else field.name)
    others = [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in schema
        if field.name not in {leaf.split(".")[0] for leaf in leaves}
    ]
    return _WRITER | {"compression_level": level, "use_dictionary": others, "use_byte_stream_split": leaves}


def lists(offsets: NDArray[np.int64], values: Any, kind: pa.DataType) -> pa.Array:
    """An Arrow list column: row ``i`` holds ``values[offsets[i]:offsets[i + 1]]``."""
    child = values if isinstance(values, pa.Array) else pa.array(values, type=kind)
    return pa.ListArray.from_arrays(pa.array(np.asarray(offsets, np.int32)), child)


def string_lists(rows: list[list[str]]) -> pa.Array:
    """An Arrow column of string lists."""
    return pa.array(rows, type=pa.list_(pa.string()))


def make_table(file: str, columns: Mapping[str, Any]) -> pa.Table:
    """A table with exactly the columns and types that ``file`` has in the format.

    A NaN stays a NaN; it is never turned into a null, so that every reader sees the same float column.
    """
    schema = arrow_schema(file)
    arrays = []
    for field in schema:
        values = columns[field.name]
        if isinstance(values, (pa.Array, pa.ChunkedArray)):
            arrays.append(values.cast(field.type))
        else:
            if isinstance(values, np.ndarray) and values.dtype == np.float64:
                values = values.astype(np.float32)  # Arrow refuses to drop digits by itself
            arrays.append(pa.array(values, type=field.type, from_pandas=False))
    return pa.Table.from_arrays(arrays, schema=schema)


def write_plain(path: Path, table: pa.Table, rows_per_group: int = 65_536) -> None:
    """Write a table that is read as a whole."""
    pq.write_table(table, path, row_group_size=rows_per_group, **parquet_options(table.schema))


def write_grouped(path: Path, table: pa.Table, key: str, count: int, per_group: int) -> None:
    """Write ``table``, sorted by ``key``, so that row group g holds exactly the keys [g * per_group, (g + 1) * per_group).

    Empty groups are written too: the number of a key's row group is then a division.
    """
    bounds = np.arange(0, count + per_group, per_group)
    rows = np.searchsorted(table.column(key).to_numpy(), bounds)
    with pq.ParquetWriter(path, table.schema, **parquet_options(table.schema)) as writer:
        for start, end in pairwise(rows):
            writer.write_table(table.slice(start, end - start), row_group_size=max(int(end - start), 1))


class _Stream:
    """A file that numpy takes for a stream, so that it writes through ``write``, which says when the disk is full."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def save_array(path: Path, array: NDArray[Any]) -> None:
    """``numpy.save`` without pickle, whose errors carry a number: numpy's own shortcut only says how much was written."""
    with path.open("wb") as file:
        np.lib.format.write_array(_Stream(file), np.asanyarray(array), allow_pickle=False)
