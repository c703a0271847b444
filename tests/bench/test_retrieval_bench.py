"""The benchmark of the fine stage runs, compares equal scores, and reports what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
def test_bench_reports_both_ways(tiny_mllm: Callable[[str], str], image_folder: Path) -> None:
    script = Path(__file__).parent / "retrieval.py"
    inputs = ["--mllm", tiny_mllm("llava"), "--corpus", str(image_folder), "--pool", "1", "--repeats", "1"]
    done = subprocess.run([sys.executable, str(script), *inputs, "--json"], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert [(r["asked"], r["pool"]) for r in document["results"]] == [("text", 1), ("image", 1)]
    for result in document["results"]:
        assert result["difference"] < 1e-4
        assert min(*result["ratios"]["fresh"].values(), *result["ratios"]["repeated"].values()) > 0
    assert {"cpu", "threads", "torch"} <= document["machine"].keys()
