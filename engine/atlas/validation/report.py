"""Collecting faults: one line each, with the first place where a sentence of the format does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.atlas.format.schema import arrow_schema
from engine.errors import AtomscopeError


class CheckStopped(Exception):
    """Raised when the rest of a check cannot run because of the faults already found."""


class FaultReport:
    """The faults found so far. The same sentence about several rows or row groups is one fault."""

    def __init__(self) -> None:
        # (where, sentence) -> kind and name of the first row it is about, and how many there are.
        self._found: dict[tuple[str, str], tuple[str, Any, int]] = {}

    @property
    def faults(self) -> list[str]:
        """One line for each fault."""
        lines = []
        for (where, sentence), (kind, first, count) in self._found.items():
            more = f" and {count - 1:,} more" if count > 1 else ""
            lines.append(f"{where}: {sentence} ({kind} {first}{more})." if kind else f"{where}: {sentence}")
        return lines

    def add(self, where: str, sentence: str) -> None:
        """One fault in the file (or key) ``where``."""
        self._found.setdefault((where, sentence), ("", None, 1))

    def expect(self, good: bool, where: str, sentence: str) -> None:
        """Add the fault unless ``good``."""
        if not good:
            self.add(where, sentence)

    def rows(self, bad: Any, where: str, sentence: str, names: NDArray[Any] | None = None, kind: str = "atom") -> None:
        """Add a fault when any entry of ``bad`` is true; it names the first and the number of the others.

        ``names`` are the ids of the entries; their places by default.
        """
        places = np.flatnonzero(np.asarray(bad))
        if len(places):
            first = places[0] if names is None else np.asarray(names)[places[0]]
            _, known, count = self._found.get((where, sentence), (kind, first, 0))
            self._found[where, sentence] = (kind, known, count + len(places))

    @contextmanager
    def guard(self, where: str) -> Iterator[None]:
        """Turn an error while checking ``where`` into one fault, and go on after the block."""
        try:
            yield
        except CheckStopped:
            pass
        except AtomscopeError as error:
            self.add(where, str(error))
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError) as error:
            line = " ".join(str(error).split())[:200]
            self.add(where, f"it cannot be read as the format says ({type(error).__name__}: {line}).")


def check_columns(report: FaultReport, where: str, schema: pa.Schema, table: str | None = None) -> None:
    """The columns of the format are there with their types; further columns are allowed.

    Raises
    ------
    CheckStopped
        If one is not: what depends on it cannot be checked.
    """
    found = {field.name: field.type for field in schema}
    broken = False
    for field in arrow_schema(table or where):
        if field.name not in found:
            report.add(where, f"the column {field.name} is missing.")
            broken = True
        elif not _same(found[field.name], field.type):
            report.add(where, f"the column {field.name} is {found[field.name]}, not {field.type}.")
            broken = True
    if broken:
        raise CheckStopped


def _same(found: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_list(wanted):
        return bool(pa.types.is_list(found) or pa.types.is_large_list(found)) and _same(
            found.value_type, wanted.value_type
        )
    if pa.types.is_string(wanted):
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    return bool(found == wanted)


def no_nulls(report: FaultReport, where: str, table: pa.Table) -> None:
    """No column holds a null: NaN and "" stand for what is unknown.

    Raises
    ------
    CheckStopped
        If one does.
    """
    names = [name for name in table.column_names if table.column(name).null_count]
    for name in names:
        report.add(where, f"the column {name} holds nulls.")
    if names:
        raise CheckStopped


def same_float(found: NDArray[Any], wanted: NDArray[Any], tolerance: float = 1e-5) -> NDArray[np.bool_]:
    """Equal up to rounding, NaN equal to NaN; the tolerance is relative above 1 and absolute below."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    with np.errstate(invalid="ignore"):
        near = np.abs(found - wanted) <= tolerance * np.maximum(1.0, np.abs(wanted))
    result: NDArray[np.bool_] = near | (np.isnan(found) & np.isnan(wanted)) | (found == wanted)
    return result
