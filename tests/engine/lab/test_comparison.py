"""A comparison measures every SAE once, keeps what it measured, and tells mean and range over the seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.errors import InputError
from engine.lab.comparison import TABLE, compare
from engine.sae import SparsemaxConfig, TopKConfig, save_sae
from engine.sae.registry import build_sae


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    rows = []
    for seed in (0, 1, 2):
        for config in (TopKConfig(d_model=8, n_atoms=12, k=2), SparsemaxConfig(d_model=8, n_atoms=12)):
            folder = f"seed-{seed}/{config.architecture}"
            # TopK finds the same atoms every time, sparsemax others.
            save_sae(build_sae(config, seed=0 if config.architecture == "topk" else seed), tmp_path / folder)
            rows.append(
                {
                    "name": config.architecture,
                    "architecture": config.architecture,
                    "seed": seed,
                    "settings": "",
                    "seconds": 10.0 + seed,
                    "folder": folder,
                }
            )
    pd.DataFrame(rows).to_parquet(tmp_path / TABLE)
    return tmp_path


def test_mean_and_range_over_the_seeds_and_nothing_is_measured_twice(sweep: Path) -> None:
    calls: list[str] = []

    def measure(sae: Any) -> dict[str, Any]:
        calls.append(sae.config.architecture)
        number = calls.count(sae.config.architecture)
        return {"fvu": 0.1 * number, "nothing": None, "topn": {"on": {"1": number}, "ranked_on": "train"}}

    document = compare(sweep, measure, {"split": "test"})
    assert document["seeds"] == [0, 1, 2] and list(document["saes"]) == ["topk", "sparsemax"]
    figures = document["saes"]["sparsemax"]["figures"]
    assert figures["fvu"] == pytest.approx({"mean": 0.2, "low": 0.1, "high": 0.3})
    assert figures["topn"] == {"on": {"1": {"mean": 2.0, "low": 1.0, "high": 3.0}}} and "nothing" not in figures
    assert document["saes"]["topk"]["seconds"] == {"mean": 11.0, "low": 10.0, "high": 12.0}
    assert compare(sweep, measure, {"split": "test"}) == document and len(calls) == 6
    compare(sweep, measure, {"split": "validation"})
    assert len(calls) == 12


def test_seeds_are_matched_with_each_other(sweep: Path) -> None:
    saes = compare(sweep, lambda sae: {"fvu": 0.5}, {})["saes"]
    same, other = (saes[name]["figures"]["stability"] for name in ("topk", "sparsemax"))
    assert same["cosine"]["low"] == pytest.approx(1, abs=1e-6) and same["shared"]["mean"] == 1
    assert other["cosine"]["high"] < 0.95
    assert "stability" not in compare(sweep, lambda sae: {"fvu": 0.5}, {}, match_seeds=False)["saes"]["topk"]["figures"]


def test_an_sae_that_was_trained_again_is_measured_again(sweep: Path) -> None:
    compare(sweep, lambda sae: {"fvu": 0.5}, {})
    save_sae(build_sae(TopKConfig(d_model=8, n_atoms=12, k=2), seed=9), sweep / "seed-1" / "topk")
    figures = compare(sweep, lambda sae: {"fvu": 0.2}, {})["saes"]["topk"]["figures"]
    assert figures["fvu"] == pytest.approx({"mean": 0.4, "low": 0.2, "high": 0.5})
    assert figures["stability"]["cosine"]["low"] < 0.95


def test_without_a_sweep_it_says_which_command_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="atomscope sweep"):
        compare(tmp_path, lambda sae: {}, {})
