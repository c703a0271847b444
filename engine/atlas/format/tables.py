"""Reading and writing the atlas's Parquet tables: row groups that hold whole atoms, and a reader of single groups."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.atlas.format.schema import arrow_schema
from engine.errors import InputError
from engine.recent import Recent

_WRITER: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
}


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


class GroupedTable:
    """One Parquet file of which single row groups are read, with a small cache. Safe to share between threads.

    Parameters
    ----------
    path : Path
        The file. It is opened on first use.
    keep : int
        Row groups kept in memory.
    columns : list of str, optional
        Read only these columns.
    """

    def __init__(self, path: Path, keep: int = 8, columns: list[str] | None = None) -> None:
        self.path = path
        self._columns = columns
        self._file: pq.ParquetFile | None = None
        self._groups: Recent[int, pa.Table] = Recent(keep)
        self._lock = threading.Lock()

    def _open(self) -> pq.ParquetFile:
        if self._file is None:
            self._file = open_parquet(self.path)
        return self._file

    @property
    def n_groups(self) -> int:
        """Number of row groups."""
        with self._lock:
            return int(self._open().num_row_groups)

    def group(self, number: int) -> pa.Table:
        """Row group ``number`` as an Arrow table."""
        with self._lock:
            if (known := self._groups.get(number)) is not None:
                return known
            file = self._open()
            if not 0 <= number < file.num_row_groups:
                raise damaged(self.path, f"it has no row group {number}")
            try:
                # One thread: a group is small, and starting Arrow's pool costs more than it saves.
                table = file.read_row_group(number, columns=self._columns, use_threads=False).combine_chunks()
            except (pa.ArrowException, OSError) as error:
                raise damaged(self.path, str(error)) from None
            self._groups.put(number, table)
            return table

    def rows(self, key: str, value: int, per_group: int) -> pa.Table:
        """The rows whose sorted column ``key`` equals ``value``, from the one row group that may hold them."""
        table = self.group(value // per_group)
        keys = table.column(key).to_numpy()
        start, end = np.searchsorted(keys, [value, value + 1])
        return table.slice(int(start), int(end - start))


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file, memory-mapped.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    try:
        return pq.ParquetFile(path, memory_map=True)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the atlas is not whole. Build it again with `atomscope atlas`.") from None
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, str(error)) from None


def read_whole(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file (or some of its columns) into memory.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    file = open_parquet(path)
    try:
        return file.read(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, str(error)) from None


def damaged(path: Path, reason: str) -> InputError:
    """The sentence for a file that cannot be read."""
    line = " ".join(reason.split())[:200]
    return InputError(f"{path} is damaged ({line}). `atomscope validate {path.parent}` lists every fault of the atlas.")
