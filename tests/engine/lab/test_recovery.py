"""Recovery and F1 against definitions worked out densely; the truth scores 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.lab.recovery import code_f1, recovery, score
from engine.lab.world import World, WorldConfig
from kernels import sparse_decode
from kernels.codes import SparseCodes


def shuffled(codes: SparseCodes, order: torch.Tensor) -> SparseCodes:
    """The same codes where feature g is now atom ``order.argsort()[g]``, columns ascending."""
    dense = codes.dense()[:, order]
    row, col = dense.nonzero(as_tuple=True)
    return SparseCodes(codes.crow, col.int(), dense[row, col], codes.n_atoms)


def test_the_true_dictionary_in_any_order_and_length_scores_one() -> None:
    world = World(WorldConfig(noise=0.0), seed=4)
    x, codes = world.sample(2000, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(256, generator=generator)
    lengths = torch.rand(256, 1, generator=generator) + 0.1
    figures = score(
        world.dictionary[order] * lengths,
        world.dictionary,
        shuffled(codes, order),
        codes,
        x,
        sparse_decode(codes, world.dictionary),
    )
    assert figures["cosine"] == pytest.approx(1, abs=1e-6) and figures["recovered"] == 1
    assert figures["f1"] == 1 and figures["fvu"] < 1e-10
    assert figures["l0"] == codes.nnz / 2000


def test_half_a_dictionary_recovers_half_and_more_atoms_do_no_harm() -> None:
    dictionary = World(WorldConfig(d_model=32, features=40, l0=2), seed=0).dictionary
    figures, matched = recovery(dictionary[:20], dictionary)
    assert figures == {"cosine": pytest.approx(0.5, abs=1e-6), "recovered": 0.5}
    assert matched.tolist() == list(range(20))
    more = torch.cat([torch.randn(30, 32, generator=torch.Generator().manual_seed(9)), dictionary])
    figures, matched = recovery(more, dictionary)
    assert figures["recovered"] == 1 and matched[30:].tolist() == list(range(40)) and (matched[:30] == -1).all()
    assert recovery(-dictionary, dictionary)[0]["recovered"] == 0  # the sign of a direction counts


def test_f1_equals_the_dense_definition() -> None:
    generator = torch.Generator().manual_seed(0)

    def random_codes(width: int) -> tuple[SparseCodes, np.ndarray]:
        active = torch.rand(60, width, generator=generator) < 0.15
        crow = torch.cat([torch.zeros(1, dtype=torch.int64), active.sum(1).cumsum(0)])
        col = active.nonzero()[:, 1].int()
        return SparseCodes(crow, col, torch.ones(len(col)), width), active.numpy()

    for _ in range(10):
        codes, said = random_codes(12)
        truth, true = random_codes(9)
        true[:, 4] = False
        truth = SparseCodes(
            torch.cat([torch.zeros(1, dtype=torch.int64), torch.from_numpy(true.sum(1)).cumsum(0)]),
            torch.from_numpy(true.nonzero()[1]).int(),
            torch.ones(int(true.sum())),
            9,
        )
        matched = torch.full((12,), -1)
        matched[torch.randperm(12, generator=generator)[:8]] = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])
        scores = []
        for feature in range(9):
            if not true[:, feature].any():
                continue
            atom = (matched == feature).nonzero()[:, 0].tolist()
            fired = said[:, atom[0]] if atom else np.zeros(60, bool)
            hits = (fired & true[:, feature]).sum()
            scores.append(2 * hits / (fired.sum() + true[:, feature].sum()))
        assert code_f1(codes, truth, matched) == pytest.approx(np.mean(scores), abs=1e-12)
