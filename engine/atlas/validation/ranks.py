"""Checks of tables that are sorted by atom, kind and rank: exemplars and neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.atlas.grouping import place_in_group
from engine.atlas.validation.context import ValidationContext
from engine.atlas.validation.report import CheckStopped


def kind_numbers(context: ValidationContext, where: str, table: pa.Table, kinds: tuple[str, ...]) -> NDArray[np.int64]:
    """Column ``kind`` as places in ``kinds``, checked."""
    words = table.column("kind").to_pylist()
    numbers = np.array([kinds.index(word) if word in kinds else -1 for word in words], np.int64)
    if (numbers < 0).any():
        context.report.rows(numbers < 0, where, f"kind is not {' or '.join(kinds)}", table.column("atom").to_numpy())
        raise CheckStopped
    return numbers


def check_ranks(
    context: ValidationContext, where: str, atom: NDArray[Any], kind: NDArray[Any], rank: NDArray[Any]
) -> None:
    """Rows are sorted by (atom, kind, rank), and ranks count from 0 without a gap."""
    group = atom.astype(np.int64) * 2 + kind
    context.report.rows(np.diff(group) < 0, where, "its kinds are not in order", atom[1:])
    if (np.diff(group) < 0).any():
        raise CheckStopped
    context.report.rows(rank != place_in_group(group), where, "its ranks do not count from 0", atom)
