"""The rows that a part of the device check writes: one JSON line each, at once, so that a part cut short keeps what it has."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["held", "failed", "measured", "missed", "skipped"]
"""``missed`` is a goal of speed that was not reached: said, but no fault. Only ``failed`` sets the exit status."""


class Rows:
    """Writes rows to ``path`` as they are found."""

    def __init__(self, path: Path, part: str) -> None:
        self._path, self._part = path, part

    def holds(self, name: str, held: bool, value: Any = "", note: str = "") -> None:
        """Something that must be true."""
        self._write("held" if held else "failed", name, value, note)

    def measured(self, name: str, value: Any, note: str = "") -> None:
        """A figure that nothing depends on."""
        self._write("measured", name, value, note)

    def goal(self, name: str, met: bool, value: Any, note: str = "") -> None:
        """A goal of speed or memory; missing it is said and is no fault."""
        self._write("held" if met else "missed", name, value, note)

    def skipped(self, name: str, why: str) -> None:
        """Something that was not run, and why."""
        self._write("skipped", name, "", why)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """What raises inside is a failed row; what comes after still runs."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            line = (str(error).strip().splitlines() or [""])[0][:200]
            self._write("failed", name, "", f"{type(error).__name__}: {line}")

    def _write(self, outcome: Outcome, name: str, value: Any, note: str) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)  # JSON knows no NaN
        row = {"part": self._part, "name": name, "outcome": outcome, "value": value, "note": note}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
