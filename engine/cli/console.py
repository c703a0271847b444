"""What the command line has in common: progress on stderr, results on stdout, one sentence for every error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection
from typing import Any

from rich import table as rich_table
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.text import Text

from engine.progress import Rate
from engine.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_NEVER_REACHED = 1_000_000
"""Width at which a table is laid out, characters: no cell is as long."""


class TerminalProgress:
    """Progress on stderr: a live line on a terminal, a plain line every few seconds in a log."""

    def __init__(self, log_every: float = 10.0) -> None:
        self._live = err.is_terminal
        self._interval = 0.2 if self._live else log_every
        self._rate = Rate(None)
        self._stage = self._unit = self._note = ""
        self._shown = 0.0

    def start(self, stage: str, total: int | None, unit: str = "items") -> None:
        self._stage, self._unit, self._note = stage, unit, ""
        self._rate = Rate(total)
        self._shown = time.monotonic()
        if not self._live:
            err.print(f"{stage}: {total:,} {unit}" if total is not None else f"{stage} ...", markup=False)

    def advance(self, count: int = 1, note: str = "") -> None:
        self._rate.add(count)
        self._note = note or self._note
        if time.monotonic() - self._shown >= self._interval:
            self._show()

    def finish(self, note: str = "") -> None:
        self._note = note or self._note
        self._show(end="\n")

    def warn(self, message: str) -> None:
        self._clear()
        err.print(f"warning: {message}", markup=False, soft_wrap=True)

    def _show(self, end: str = "") -> None:
        self._shown = time.monotonic()
        rate = self._rate
        parts = [f"{self._stage}: {rate.done:,}" + (f" / {rate.total:,}" if rate.total is not None else "")]
        parts[0] += f" {self._unit}"
        if rate.per_second:
            parts.append(f"{rate.per_second:,.1f}/s")
        if rate.seconds_left is not None and not end:
            parts.append(f"ETA {duration(rate.seconds_left)}")
        if self._note:
            parts.append(self._note)
        line = "  ".join(parts)
        if self._live:
            self._clear()
            sys.stderr.write(line[: max(err.width - 1, 20)] + end)
            sys.stderr.flush()
        else:
            sys.stderr.write(line + "\n")

    def _clear(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``42s``, ``3m10s``, ``2h05m``."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def print_json(document: Any) -> None:
    """One JSON document on stdout and nothing else."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(table: Table, words: Collection[int] = (0,), console: Console = out) -> None:
    """A table with aligned columns, on stdout unless told otherwise. Nothing is cut: a narrow screen wraps its lines.

    Parameters
    ----------
    words : collection of int
        Columns of words, which stand on the left; numbers stand on the right.
    """
    if not table.rows:
        return
    drawn = rich_table.Table(
        box=SIMPLE_HEAD if table.header else None, show_header=bool(table.header), show_edge=False, pad_edge=False
    )
    for column, title in enumerate(table.header or ("",) * len(table.rows[0])):
        drawn.add_column(Text(title), justify="left" if column in words else "right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    for line in console.render_lines(drawn, console.options.update(width=_NEVER_REACHED), pad=False):
        text = Text.assemble(*((segment.text, segment.style or "") for segment in line))
        text.rstrip()
        console.print(text, soft_wrap=True)


def next_step(command: str) -> None:
    """Say which command comes next (stderr, so that stdout stays clean)."""
    err.print(f"\nnext:  {command}", markup=False, soft_wrap=True)
