"""Which atoms are drawn. One implementation serves the map, the controls and the link."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from engine.errors import InputError

STATUSES = ("live", "rare", "dense", "dead")


@dataclass(frozen=True)
class AtomFilter:
    """Keep the atoms whose status is not hidden and whose ``column`` lies in ``[low, high]``.

    An atom without a value in ``column`` (NaN) is dropped as soon as a range is set.
    """

    hide: frozenset[str] = frozenset()
    column: str = ""
    low: float = -math.inf
    high: float = math.inf

    def mask(self, atoms: pd.DataFrame) -> np.ndarray:
        """Boolean array, one entry per atom of ``atoms`` (columns as in ``atoms.parquet``)."""
        keep = np.ones(len(atoms), dtype=bool)
        if self.hide:
            keep &= ~atoms["status"].isin(self.hide).to_numpy()
        if self.column:
            values = atoms[self.column].to_numpy(dtype=np.float64)
            with np.errstate(invalid="ignore"):
                keep &= (values >= self.low) & (values <= self.high)
        return keep

    def to_query(self) -> dict[str, str]:
        """Short text values for a URL; empty for the filter that keeps everything."""
        query = {}
        if self.hide:
            query["hide"] = ",".join(status for status in STATUSES if status in self.hide)
        if self.column:
            query["range"] = f"{self.column}:{_number(self.low)}:{_number(self.high)}"
        return query

    def encoded(self) -> str:
        """:meth:`to_query` as a query string."""
        return urlencode(self.to_query())

    @staticmethod
    def from_query(query: Mapping[str, str], atoms: pd.DataFrame) -> AtomFilter:
        """The filter written by :meth:`to_query`.

        Raises
        ------
        InputError
            If a status, column or number is not one.
        """
        hide = frozenset(part for part in query.get("hide", "").split(",") if part)
        if unknown := hide - set(STATUSES):
            raise InputError(f"{sorted(unknown)[0][:40]!r} is not a status; statuses are {', '.join(STATUSES)}.")
        text = query.get("range", "")
        if not text:
            return AtomFilter(hide)
        column, _, bounds = text.partition(":")
        low, _, high = bounds.partition(":")
        if column not in numeric_columns(atoms):
            raise InputError(f"{column[:40]!r} is not a numeric column of this atlas.")
        try:
            limits = float(low or "-inf"), float(high or "inf")
        except ValueError:
            raise InputError(f"{text[:60]!r} is not a range; write column:low:high.") from None
        if any(math.isnan(limit) for limit in limits):
            raise InputError(f"{text[:60]!r} is not a range; write column:low:high.")
        return AtomFilter(hide, column, *limits)


def numeric_columns(atoms: pd.DataFrame) -> list[str]:
    """Columns that order atoms: every numeric one except coordinates and cluster numbers."""
    return [
        str(name)
        for name in atoms.columns
        if name not in ("atom", "x", "y", "cluster") and pd.api.types.is_numeric_dtype(atoms[name])
    ]


def _number(value: float) -> str:
    return "" if math.isinf(value) else f"{value:.6g}"
