"""Data that the checks of single files share: the header, the files that are sound, and the small tables in memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.atlas.format.reading import open_parquet, read_whole
from engine.atlas.validation.report import CheckStopped, FaultReport, check_columns, no_nulls


class ValidationContext:
    """One atlas being validated.

    Attributes
    ----------
    sound : set of str
        Files whose hash is right; what needs another file is not checked (its fault is already reported).
    """

    def __init__(self, report: FaultReport, folder: Path, meta: dict[str, Any], sound: set[str]) -> None:
        self.report = report
        self.folder = folder
        self.meta = meta
        self.sound = sound
        self.counts = meta["counts"]
        self.n_atoms = int(self.counts["atoms"])
        self.n_items = int(self.counts["items"])
        self.n_positions = int(self.counts["positions"])
        self.per_group = int(meta["atoms_per_group"])

    def need(self, name: str) -> Path:
        """Path of a sound file. Raises ``CheckStopped`` if it is not sound."""
        if name not in self.sound:
            raise CheckStopped
        return self.folder / name

    @cached_property
    def atoms(self) -> dict[str, NDArray[Any]]:
        """Columns of ``atoms.parquet``, one row for each atom. Raises ``CheckStopped`` if that does not hold."""
        return self._whole("atoms.parquet", "atom", self.n_atoms)

    @cached_property
    def items(self) -> dict[str, NDArray[Any]]:
        """Columns of ``items.parquet``; ``support`` and ``tau`` as [n, P] (``tau`` [0, P] when there is none)."""
        return self._whole("items.parquet", "item", self.n_items)

    @cached_property
    def tokens(self) -> dict[str, NDArray[Any]]:
        """Columns of ``tokens.parquet``, one row for each item."""
        return self._whole("tokens.parquet", "item", self.n_items)

    @cached_property
    def firing(self) -> NDArray[np.int64]:
        """Firing count of every atom."""
        return np.asarray(self.atoms["firing_count"], np.int64)

    def groups(
        self, name: str, key: str = "atom", count: int | None = None, per_group: int | None = None
    ) -> Iterator[pa.Table]:
        """Row groups of a table that is cut by whole keys, each with its columns and the range of its keys checked."""
        count, per_group = self.n_atoms if count is None else count, per_group or self.per_group
        file = open_parquet(self.need(name))
        check_columns(self.report, name, file.schema_arrow)
        wanted = -(-count // per_group)
        if file.num_row_groups != wanted:
            self.report.add(name, f"it has {file.num_row_groups} row groups instead of {wanted}.")
            raise CheckStopped
        for number in range(wanted):
            table = file.read_row_group(number)
            no_nulls(self.report, name, table)
            keys = table.column(key).to_numpy()
            low, high = number * per_group, min((number + 1) * per_group, count)
            if len(keys) and (keys.min() < low or keys.max() >= high):
                self.report.add(name, f"row group {number} holds a {key} that is not in {low} to {high - 1}.")
                raise CheckStopped
            if np.any(np.diff(keys) < 0):
                self.report.add(name, f"its rows are not sorted by {key}.")
                raise CheckStopped
            yield table

    def _whole(self, name: str, key: str, count: int) -> dict[str, NDArray[Any]]:
        path = self.need(name)
        check_columns(self.report, name, open_parquet(path).schema_arrow)
        table = read_whole(path)
        no_nulls(self.report, name, table)
        if not np.array_equal(table.column(key).to_numpy(), np.arange(count)):
            self.report.add(name, f"its rows are not {key} 0 to {count - 1}, one each, in order.")
            raise CheckStopped
        return {column: _values(table.column(column).combine_chunks()) for column in table.column_names}


def _values(column: Any) -> NDArray[Any]:
    if pa.types.is_string(column.type) or pa.types.is_list(column.type):
        out = np.empty(len(column), object)
        out[:] = column.to_pylist() if pa.types.is_string(column.type) else list(column.to_numpy(zero_copy_only=False))
        return out
    return np.asarray(column.to_numpy(zero_copy_only=False))
