"""The benchmarks of training and of memory run on small shapes, and report what they promise."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from engine.activations import ActivationStore


def report(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).parent / script), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_training_is_compared_on_the_same_shapes(make_store: Callable[..., ActivationStore]) -> None:
    small = ["--atoms", "64", "-k", "3", "--batch", "32", "--steps", "2", "--warmup", "1", "--rounds", "1"]
    methods = ["ours topk", "sae-lens sparse"] if find_spec("sae_lens") else ["ours topk"]
    found = report("training.py", "--acts", str(make_store().path), *small, "--only", *methods)
    assert [r["method"] for r in found["results"]] == methods
    assert all(r["tokens_per_second"] > 0 and r["l0"] == 3 for r in found["results"])
    assert (found["results"][0]["ratio"] is None) == (len(methods) == 1)


@pytest.mark.slow
def test_memory_stays_within_its_bound(tmp_path: Path) -> None:
    small = ["--atoms", "256", "--gb", "0.1", "--steps", "2", "--batch", "512", "--items", "4"]
    found = report("memory.py", *small, "--folder", str(tmp_path))
    assert [r["part"] for r in found["results"]] == ["training", "atlas pass"]
    assert all(0 < r["program_mb"] <= r["peak_mb"] <= r["bound_mb"] for r in found["results"])
    assert not list(tmp_path.iterdir())
