"""The evaluation pass against the metrics computed densely in one go."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from engine.evaluation.measure import TopItems, item_maxima, measure
from engine.metrics import fvu, label_entropy, monosemanticity
from engine.sae import SparsemaxConfig, TopKConfig, build_sae
from kernels.codes import SparseCodes

D = 16
CONFIGS = [
    SparsemaxConfig(d_model=D, n_atoms=40, scale=4.0, normalise="centre", init="data"),
    SparsemaxConfig(d_model=D, n_atoms=40, values="probability", scale=1.0),
    TopKConfig(d_model=D, n_atoms=40, k=3),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.architecture}-{getattr(c, 'values', '')}")
def test_streaming_equals_dense(make_store, config) -> None:
    store = make_store(items=42)
    sae = build_sae(config).eval()
    rows = np.flatnonzero(np.arange(store.n_items) % 5 != 0)
    x = torch.cat([store.item(row) for row in rows])
    sae.initialise(x, torch.Generator().manual_seed(0))
    figures = measure(sae, store, rows, top=4)

    with torch.no_grad():
        codes = sae.encode(x)
        x_hat = sae.decode(codes, sae.norm(x))
    active = torch.zeros(len(codes), 40, dtype=torch.bool)
    active[codes.row, codes.col.long()] = True
    dense = codes.dense().view(len(rows), store.n_positions, 40)
    per_item = dense.masked_fill(~active.view_as(dense), -torch.inf).amax(1).numpy().astype(float)
    fired = active.sum(0).numpy()

    assert figures["items"] == len(rows) and figures["tokens"] == len(x)
    assert figures["fvu"] == pytest.approx(fvu(x, x_hat), rel=1e-5)
    assert figures["explained_variance"] == pytest.approx(1 - figures["fvu"])
    assert figures["l0_mean"] == pytest.approx(active.sum(1).float().mean().item())
    assert figures["l0_quantiles"]["0.5"] == np.quantile(active.sum(1).numpy(), 0.5, method="inverted_cdf")
    assert figures["dead"] == (fired == 0).sum() and figures["dense"] == (fired > 0.1 * len(x)).sum()

    labels, entropies = store.items["label"].to_numpy()[rows], []
    for values in per_item.T:
        order = [i for i in np.argsort(-values, kind="stable")[:4] if values[i] > -np.inf]
        if len(order) > 1:
            entropies.append(label_entropy(labels[order], values[order]))
    known = np.array(entropies)[np.isfinite(entropies)]
    assert figures["label_entropy"] == pytest.approx(known.mean(), rel=1e-5)
    assert figures["label_entropy_atoms"] == len(known)

    weights = np.clip(per_item, 0, None)
    mixed = weights.T @ np.asarray(store.embeddings)[rows].astype(float)
    scores = monosemanticity(mixed, weights.sum(0), (weights**2).sum(0))
    assert figures["monosemanticity"] == pytest.approx(np.nanmean(scores), rel=1e-5)
    json.dumps(figures, allow_nan=False)


def test_an_identity_sae_explains_everything(make_store) -> None:
    """TopK over the coordinate axes and their negatives with K = d loses nothing."""
    sae = build_sae(TopKConfig(d_model=D, n_atoms=D, k=D))
    with torch.no_grad():
        sae.atoms.copy_(torch.eye(D))
        sae.w_encoder.copy_(torch.eye(D))
    figures = measure(sae, make_store())
    assert figures["fvu"] == pytest.approx(0, abs=1e-10) and figures["l0_mean"] == D and figures["dead"] == 0


def test_without_labels_the_entropy_is_none(make_store) -> None:
    store = make_store()
    store.items["label"] = ""
    figures = measure(build_sae(CONFIGS[2]), store, store.rows("test"))
    assert figures["label_entropy"] is None and figures["label_entropy_atoms"] == 0
    assert measure(build_sae(CONFIGS[2]), store, store.rows("no such split"))["fvu"] is None


def test_item_maxima_are_the_largest_by_atom_and_item() -> None:
    crow = torch.tensor([0, 2, 3, 5, 6])
    col = torch.tensor([0, 2, 2, 1, 2, 0], dtype=torch.int32)
    val = torch.tensor([1.0, -2.0, -1.0, 3.0, 4.0, 5.0])
    atom, item, value = item_maxima(SparseCodes(crow, col, val, 3), n_positions=2)
    assert list(zip(atom.tolist(), item.tolist(), value.tolist(), strict=True)) == [
        (0, 0, 1.0), (0, 1, 5.0), (1, 1, 3.0), (2, 0, -1.0), (2, 1, 4.0),
    ]  # fmt: skip


def test_top_items_keep_the_largest_and_break_ties_by_item() -> None:
    best = TopItems(2)
    for start in (0, 3):
        items = np.arange(start, start + 3)
        best.add(np.repeat([1, 4], 3), np.tile(items, 2), np.array([5, 5, 1, 0, 2, start], dtype=np.float32))
    best.add(np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.float32))
    (first, _), (second, values) = best.by_atom()
    assert first.tolist() == [0, 1] and second.tolist() == [5, 1] and values.tolist() == [3, 2]
    assert TopItems(2).by_atom() == []
