"""Words in little room."""

from __future__ import annotations


def cut(text: object, length: int) -> str:
    """A text in one line of at most ``length`` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
