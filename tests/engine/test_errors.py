"""What a library says, made fit for one sentence."""

from __future__ import annotations

import pytest

from engine.errors import first_line


@pytest.mark.parametrize(
    ("said", "line"),
    [("no such file", "no such file"), ("It broke.\n  at line 3", "It broke"), ("\n a\t b \n", "a b"), ("", "OSError")],
)
def test_first_line(said: str, line: str) -> None:
    assert first_line(OSError(said)) == line
