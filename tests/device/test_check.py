"""The device check runs as a whole where there is no GPU: all four parts, nothing failed, and parts that break are said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "run.sh"
PARTS = {"correctness", "speed", "loop", "fine"}


@pytest.mark.slow
def test_the_whole_check_holds_at_small_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", sys.executable)
    done = subprocess.run([str(SCRIPT), "--small", "--out", str(tmp_path)], capture_output=True, text=True)
    document = json.loads((tmp_path / "device.json").read_text())
    failed = [row for row in document["rows"] if row["outcome"] == "failed"]
    assert not failed and document["held"], done.stderr[-4000:]
    assert done.returncode == 0
    assert {row["part"] for row in document["rows"]} == set(document["seconds"]) - {"all"} == PARTS
    assert all(
        any(r["part"] == part and r["outcome"] == "held" for r in document["rows"]) for part in PARTS - {"speed"}
    )
    assert all(row["note"] for row in document["rows"] if row["outcome"] == "skipped"), "what was skipped says why"
    assert {"cpu", "python", "torch"} <= document["machine"].keys() and document["versions"]["torch"]
    for row in document["rows"]:
        assert row["name"] in done.stdout


def test_a_part_that_raises_or_runs_out_of_time_is_a_failed_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had found before stands."""
    from tests.device import check
    from tests.device.rows import Rows

    rows = Rows(tmp_path / "loop.jsonl", "loop")
    rows.measured("before", 1.5)
    with rows.attempt("no such number"):
        int("seven")
    rows.goal("fast", False, float("nan"))
    monkeypatch.setitem(check.LIMITS, "loop", 0.01)
    found = check.run_part("loop", tmp_path, small=True)
    assert [(row["name"], row["outcome"]) for row in found] == [
        ("before", "measured"), ("no such number", "failed"), ("fast", "missed"), ("loop", "failed"),
    ]  # fmt: skip
    assert found[1]["note"].startswith("ValueError: invalid literal") and "out of time" in found[3]["note"]
    assert found[2]["value"] == "nan"
