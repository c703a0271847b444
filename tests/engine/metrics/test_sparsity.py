"""L0 and firing counts."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics import FiringCounts, l0_bins, l0_mean, l0_quantiles
from engine.sae import TopKConfig, build_sae
from kernels.codes import SparseCodes


def codes_of(supports: list[list[int]], n_atoms: int) -> SparseCodes:
    crow = torch.tensor([0, *np.cumsum([len(s) for s in supports])], dtype=torch.int64)
    col = torch.tensor([atom for support in supports for atom in support], dtype=torch.int32)
    return SparseCodes(crow, col, torch.ones(len(col)), n_atoms)


def test_counts_add_up() -> None:
    firing = FiringCounts(4)
    firing.add(codes_of([[0, 1], [0], []], 4))
    firing.add(codes_of([[0, 3]] + [[0]] * 17, 4))
    assert firing.fired.tolist() == [20, 1, 0, 1]
    assert firing.tokens == 21 and firing.dead == 1 and firing.dense == 1 and firing.rare == 0
    assert (firing.l0_histogram * np.arange(5)).sum() == firing.fired.sum()


def test_a_topk_sae_reads_exactly_k() -> None:
    sae = build_sae(TopKConfig(d_model=8, n_atoms=32, k=6))
    firing = FiringCounts(32)
    firing.add(sae.encode(torch.randn(50, 8)))
    assert l0_mean(firing.l0_histogram) == 6
    assert set(l0_quantiles(firing.l0_histogram).values()) == {6}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_mean_and_quantiles_are_those_of_the_list(sizes: list[int]) -> None:
    histogram = np.bincount(sizes, minlength=10)
    assert math.isclose(l0_mean(histogram), float(np.mean(sizes)), rel_tol=1e-12)
    quantiles = (0.0, 0.25, 0.5, 0.9, 1.0)
    wanted = np.quantile(sizes, quantiles, method="inverted_cdf")
    assert list(l0_quantiles(histogram, quantiles).values()) == wanted.tolist()


def test_nothing_counted() -> None:
    empty = FiringCounts(3)
    assert math.isnan(l0_mean(empty.l0_histogram)) and l0_quantiles(empty.l0_histogram) == {} and empty.dead == 3


@given(st.lists(st.integers(0, 50), max_size=40))
def test_l0_bins_double_and_lose_no_token(counts: list[int]) -> None:
    bins = l0_bins(np.array(counts, dtype=np.int64))
    assert sum(bins.values()) == sum(counts)
    for name, tokens in bins.items():
        low, _, high = name.partition("-")
        assert tokens == sum(counts[int(low) : int(high or low) + 1])
        assert int(high or low) == 0 or int(high or low) + 1 == 2 * int(low)
