"""The benchmarks of the demo training and of encoding run on any store, and report what they promise."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.activations import ActivationStore
from engine.sae import SparsemaxConfig, SparsemaxSAE, save_sae


def report(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).parent / script), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_every_support_of_a_small_training_is_exact(make_store: Callable[..., ActivationStore]) -> None:
    found = report("supports.py", "--acts", str(make_store(items=24).path), "--passes", "3", "--steps", "2")
    assert found["exact"]
    assert [(r["training"], r["last_step"]) for r in found["results"]] == [("published", 2), ("wide", 2), ("demo", 3)]
    assert all(r["rows"] > 0 and r["checked"] > 0 and r["uncertified"] == 0 for r in found["results"])


@pytest.mark.slow
def test_encoding_compares_methods_on_the_same_tokens(
    make_store: Callable[..., ActivationStore], tmp_path: Path
) -> None:
    store = make_store(items=24)
    sae = SparsemaxSAE(SparsemaxConfig(d_model=16, n_atoms=200), torch.Generator().manual_seed(0))
    folder = save_sae(sae, tmp_path / "sae")
    arguments = ["--acts", str(store.path), "--sae", str(folder), "--slow-items", "6", "--only"]
    found = report("encoding.py", *arguments, "ours", "ours torch", "published")
    assert [(r["method"], r["tokens"]) for r in found["results"]] == [
        ("ours", store.n_tokens),
        ("ours torch", store.n_tokens),
        ("published", 6 * store.n_positions),
    ]
    assert all(r["different"] == 0 and r["checked"] > 0 and r["tokens_per_second"] > 0 for r in found["results"])
