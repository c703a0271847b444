"""Reading tables of an atlas: whole ones, and single row groups with a small cache. Damage becomes one sentence."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import InputError
from engine.lru_cache import LRUCache


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
        self._groups: LRUCache[int, pa.Table] = LRUCache(keep)
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
                raise damaged_file(self.path, f"it has no row group {number}")
            try:
                # One thread: a group is small, and starting Arrow's pool costs more than it saves.
                table = file.read_row_group(number, columns=self._columns, use_threads=False).combine_chunks()
            except (pa.ArrowException, OSError) as error:
                raise damaged_file(self.path, str(error)) from None
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
        raise damaged_file(path, str(error)) from None


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
        raise damaged_file(path, str(error)) from None


def damaged_file(path: Path, reason: str) -> InputError:
    """The error for a file that cannot be read."""
    line = " ".join(reason.split())[:200]
    return InputError(f"{path} is damaged ({line}). `atomscope validate {path.parent}` lists every fault of the atlas.")


def frame(table: pa.Table) -> pd.DataFrame:
    """``table`` in pandas."""
    made: pd.DataFrame = table.to_pandas()
    return made
