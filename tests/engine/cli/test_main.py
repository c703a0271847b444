"""The entry point of the console script."""

from __future__ import annotations

import subprocess
import sys

import pytest

_CODE = """
import warnings
import engine.cli.main as console
console.run = lambda arguments: warnings.warn("a name will go", FutureWarning) or 0
console.main()
"""


@pytest.mark.parametrize(("options", "heard"), [([], False), (["-W", "default"], True)])
def test_a_library_s_future_warning_reaches_only_who_asks_for_it(
    options: list[str], heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    done = subprocess.run([sys.executable, *options, "-c", _CODE], capture_output=True, text=True, check=True)
    assert ("FutureWarning" in done.stderr) == heard
