"""Top-n ranking and editing against dense loops in float64."""

from __future__ import annotations

import numpy as np
import torch

from engine.metrics.topn import ClassAtoms, rank_atoms
from engine.sae import SparsemaxConfig, build_sae
from kernels.codes import SparseCodes

D, M, C = 16, 40, 4
CONFIG = SparsemaxConfig(d_model=D, n_atoms=M, scale=4.0, normalise="centre", init="data")


def prepared(store):
    sae = build_sae(CONFIG).eval()
    sae.initialise(torch.cat([store.item(row) for row in range(store.n_items)]), torch.Generator().manual_seed(0))
    labels = store.items["label"].str.removeprefix("topic-").astype(int).to_numpy()
    return sae, labels


def test_ranking_and_editing_equal_dense_loops(make_store) -> None:
    store = make_store(items=40)
    sae, labels = prepared(store)
    rows = store.rows("train")
    classes = labels[rows].copy()
    classes[:3] = -1  # items without a class count for nothing
    for threshold in (0.0, 0.5):
        ranking = rank_atoms(sae, store, rows, classes, C, threshold, (1, 3, 7, None))
        counts = np.zeros((C, M), int)
        for row, label in zip(rows, classes, strict=True):
            if label >= 0:
                for token in sae.encode(store.item(int(row))).dense():
                    counts[label] += token.detach().double().numpy() > threshold
        assert counts.any()
        best = [[a for a in np.argsort(-counts[c], kind="stable") if counts[c][a]][:7] for c in range(C)]
        assert [ranking.of(c) for c in range(C)] == best

        codes = sae.encode(torch.cat([store.item(int(row)) for row in store.rows("test")])).detach()
        of_token = torch.from_numpy(np.repeat(labels[store.rows("test")], store.n_positions))
        for level in (1, 3, 7):
            on, off = codes.dense(), codes.dense()
            for token, label in enumerate(of_token.tolist()):
                inside = torch.zeros(M, dtype=torch.bool)
                inside[[int(a) for a in best[label][:level]]] = True
                on[token, ~inside], off[token, inside] = 0, 0
            assert torch.equal(ranking.edit(codes, of_token, "on", level).dense(), on)
            assert torch.equal(ranking.edit(codes, of_token, "off", level).dense(), off)


def test_all_atoms_are_the_plain_codes() -> None:
    codes = SparseCodes(torch.tensor([0, 2, 3]), torch.tensor([0, 2, 1], dtype=torch.int32), torch.ones(3), 3)
    classes = torch.tensor([0, 1])
    ranking = ClassAtoms(torch.ones(2, 3, dtype=torch.int32), 3)
    assert ranking.edit(codes, classes, "on", None) is codes
    assert ranking.edit(codes, classes, "off", None).nnz == 0
    assert torch.equal(ranking.edit(codes, classes, "on", 3).dense(), codes.dense())


def test_ties_go_to_the_smaller_atom_and_unused_atoms_have_no_rank() -> None:
    ranking = ClassAtoms(torch.tensor([[2, 5, 5, 0], [0, 0, 0, 0]]), 4)
    assert ranking.of(0) == [1, 2, 0] and ranking.of(1) == []
    nothing = ClassAtoms(torch.zeros(2, 4), 2)
    codes = SparseCodes(torch.tensor([0, 1]), torch.tensor([3], dtype=torch.int32), torch.ones(1), 4)
    assert nothing.edit(codes, torch.tensor([1]), "on", 1).nnz == 0
    assert nothing.edit(codes, torch.tensor([1]), "off", 1).nnz == 1
