"""A table of text, passed from the code that computes it to the code that prints it: cells are formatted, not yet aligned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of text under a header.

    Attributes
    ----------
    header : tuple of str
        One title per column; empty for a table without a header.
    rows : tuple of tuple of str
        As many cells per row as the header has. The first column names the row.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
