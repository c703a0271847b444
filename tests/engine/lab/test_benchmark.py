"""A miniature of the benchmark: it is deterministic, matches sparsity, and better SAEs score better."""

from __future__ import annotations

import json

import pytest

from engine.errors import InputError
from engine.lab.benchmark import BenchmarkConfig, WorldConfig, needs_search, run
from engine.sae import ARCHITECTURES

WORLD = WorldConfig(d_model=16, features=24, l0=2.0, groups=6)
SMALL = BenchmarkConfig(n_atoms=24, steps=100, batch_tokens=256, lr=1e-2)


def test_topk_finds_features_and_the_document_says_how() -> None:
    document = run(["topk", "topk:k=8"], WORLD, SMALL, (0, 1))
    json.dumps(document, allow_nan=False)
    matched, dense = document["saes"]["topk"], document["saes"]["topk:k=8"]
    assert matched["config"]["k"] == 2 and matched["mean"]["l0"] == 2 and dense["mean"]["l0"] == 8
    assert matched["mean"]["cosine"] > 0.6 and matched["mean"]["f1"] > dense["mean"]["f1"]
    assert document["reference"]["mean"]["f1"] == 1 and document["reference"]["mean"]["l0"] == pytest.approx(
        2, rel=0.05
    )
    for key, mean in matched["mean"].items():
        values = [seed[key] for seed in matched["seeds"]]
        assert mean == pytest.approx(sum(values) / 2)
        assert matched["low"][key] == min(values) and matched["high"][key] == max(values)


def test_the_same_settings_give_the_same_document() -> None:
    options = BenchmarkConfig(n_atoms=24, steps=5, batch_tokens=64)
    assert run(["topk", "batchtopk"], WORLD, options, (3,)) == run(["topk", "batchtopk"], WORLD, options, (3,))


def test_the_scale_search_comes_near_the_wanted_l0() -> None:
    options = BenchmarkConfig(n_atoms=24, steps=20, batch_tokens=256, lr=1e-2)
    document = run(["sparsemax"], WORLD, options, (0,))
    assert document["saes"]["sparsemax"]["mean"]["l0"] == pytest.approx(2, rel=0.3)
    assert document["saes"]["sparsemax"]["config"]["scale"] not in (None, 1.0)


def test_which_architectures_are_searched() -> None:
    assert [name for name in ARCHITECTURES if needs_search(name)] == ["sparsemax", "mlp-sparsemax"]
    assert not needs_search("sparsemax:scale=3")
    with pytest.raises(InputError, match="unknown SAE architecture 'sparsmax'"):
        needs_search("sparsmax")


def test_bad_settings() -> None:
    with pytest.raises(InputError, match="at least 1"):
        BenchmarkConfig(steps=0)
    with pytest.raises(InputError, match="lr must be positive"):
        BenchmarkConfig(lr=-1)
