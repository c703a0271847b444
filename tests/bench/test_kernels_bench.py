"""The benchmark of the kernels still runs and reports what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_quick_benchmark_reports_ours() -> None:
    script = Path(__file__).parent / "kernels.py"
    command = [sys.executable, str(script), "--quick", "--json", "--only", "read", "ours", "ours score"]
    document = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert {"cpu", "threads", "torch"} <= document["machine"].keys()
    assert [result["method"] for result in document["results"]] == ["read", "ours", "ours score"]
    assert all(result["ms"] > 0 for result in document["results"])
    assert document["results"][1]["max_error"] <= 1e-6
    assert 30 < document["results"][2]["l0"] < 80
