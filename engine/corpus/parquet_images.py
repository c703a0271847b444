"""Images inside Parquet files, fetched one at a time: a row group is read when one of its images is asked for."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.corpus.images import UnreadableItem, read_limited
from engine.corpus.items import id_fault
from engine.errors import InputError, first_line
from engine.files import Stamp, stamp
from engine.lru_cache import LRUCache

_KEPT_BYTES = 256 * 2**20
_OPEN_FILES = 16


class ParquetImages:
    """The image column of some Parquet files, one item per row, in the order of the files.

    The column is either binary or the Image layout of Hugging Face's datasets: struct<bytes: binary, path: string>,
    where a row without bytes names a file beside the Parquet files.
    """

    def __init__(self, root: Path, names: list[str], column: str) -> None:
        self._root = root
        self._names = names
        self._column = column
        self._stamps: list[Stamp | None] = []
        files, groups, counts = [], [], []
        for index, name in enumerate(names):
            self._stamps.append(stamp(root / name))
            metadata = pq.read_metadata(root / name)
            for group in range(metadata.num_row_groups):
                files.append(index)
                groups.append(group)
                counts.append(metadata.row_group(group).num_rows)
        self._file, self._group = files, groups
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._open: LRUCache[int, pq.ParquetFile] = LRUCache(_OPEN_FILES, dropped=pq.ParquetFile.close)
        self._kept: LRUCache[int, pa.ChunkedArray] = LRUCache(_KEPT_BYTES, lone=True)
        self._lock = Lock()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, item: int) -> bytes:
        """The encoded bytes of one item; ``UnreadableItem`` if its shard is damaged or the row holds none."""
        if not 0 <= item < len(self):
            raise IndexError(item)
        block = int(np.searchsorted(self._ends, item, side="right"))
        start = int(self._ends[block - 1]) if block else 0
        with self._lock:
            cell = self._rows(block)[item - start].as_py()
        where = f"row {item - start} of row group {self._group[block]} of {self._names[self._file[block]]}"
        return image_cell(cell, self._root, where)

    def _rows(self, block: int) -> pa.ChunkedArray:
        if (kept := self._kept.get(block)) is not None:
            return kept
        index = self._file[block]
        try:
            rows = self._handle(index).read_row_group(self._group[block], columns=[self._column]).column(0)
        except (pa.ArrowException, OSError) as error:
            self._open.drop(index)
            raise UnreadableItem(f"{self._root / self._names[index]} is damaged ({first_line(error)}).") from None
        self._kept.put(block, rows, rows.nbytes)
        return rows

    def _handle(self, index: int) -> pq.ParquetFile:
        if (known := self._open.get(index)) is not None:
            return known
        # Rows are known by number: in a file that was rebuilt meanwhile they are other pictures.
        if stamp(self._root / self._names[index]) != self._stamps[index]:
            raise InputError(f"{self._root / self._names[index]} was replaced while it was being read: start again.")
        # Our shards carry page checksums, so a flipped bit is met here and not as a picture with a smear.
        file = pq.ParquetFile(self._root / self._names[index], page_checksum_verification=True)
        self._open.put(index, file)
        return file


def image_cell(cell: object, root: Path, where: str) -> bytes:
    """The bytes a cell of an image column holds, or those of the file it names below ``root``."""
    data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if isinstance(data, bytes):
        return data
    if not isinstance(path, str):
        raise UnreadableItem(f"There is no image in {where}.")
    file = root / path
    if id_fault(path) or file.resolve() != file or not file.is_file():
        raise UnreadableItem(f"The image of {where} is the file {path!r}, which is not in {root}.")
    return read_limited(file, path)
