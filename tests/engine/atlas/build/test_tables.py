"""The builder against a brute-force oracle that works from the dense code matrix, column by column."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.activations import ActivationStore
from engine.atlas import Atlas, AtlasOptions, build_atlas
from engine.atlas.validation import validate_atlas
from engine.sae import SparseAutoencoder, SparsemaxConfig, TopKConfig
from tests.engine.atlas.build.oracle import Oracle, mix

CONFIGS = {
    "score": SparsemaxConfig(d_model=8, n_atoms=24, scale=2.0),
    "probability": SparsemaxConfig(d_model=8, n_atoms=24, values="probability", scale=1.5),
    "topk": TopKConfig(d_model=8, n_atoms=24, k=3),
}


@given(
    name=st.sampled_from(sorted(CONFIGS)),
    n_items=st.integers(2, 30),
    grid=st.sampled_from([(1, 1), (2, 3), (8, 9)]),
    top_n=st.integers(1, 6),
    words=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_table_is_what_dense_codes_say(
    tmp_path_factory: pytest.TempPathFactory,
    new_sae: Callable[..., SparseAutoencoder],
    write_store: Callable[..., ActivationStore],
    name: str,
    n_items: int,
    grid: tuple[int, int],
    top_n: int,
    words: bool,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("build")
    store = write_store(folder / "store", n_items=n_items, grid=grid, seed=seed, words=words)
    sae = new_sae(folder / "sae", CONFIGS[name], seed)
    options = AtlasOptions(top_n=top_n, layout=False, sample_items=5, neighbours=4)
    atlas = Atlas.open(build_atlas(folder / "sae", store, folder / "atlas", options))
    assert validate_atlas(atlas.path) == []
    oracle = Oracle(sae, store, top_n)
    check_atoms(atlas, oracle)
    check_labels(atlas, oracle)
    check_items(atlas, oracle)
    check_neighbours(atlas, oracle, sae)
    check_codes(atlas, oracle, sae)


def check_atoms(atlas: Atlas, oracle: Oracle) -> None:
    for atom in range(atlas.n_atoms):
        row = atlas.atoms.loc[atom]
        for column, wanted in oracle.atom(atom, atlas.n_items * atlas.n_positions).items():
            if isinstance(wanted, str):
                assert row[column] == wanted, column
            else:
                assert row[column] == pytest.approx(wanted, rel=2e-5, abs=2e-5, nan_ok=True), column
        edges, counts = atlas.histogram(atom)
        inside = np.clip(
            oracle.dense[oracle.fires[:, atom], atom].astype(np.float64), edges[0], np.nextafter(edges[-1], 0)
        )
        assert counts.tolist() == np.histogram(inside, edges)[0].tolist()
        rows = atlas.exemplars(atom)
        wanted_rows = oracle.exemplars(atom)
        assert len(rows) == len(wanted_rows)
        for (_, found), wanted in zip(rows.iterrows(), wanted_rows, strict=True):
            kind, rank, item, position, value, quantile = wanted
            assert (found["kind"], found["rank"], found["item"], found["position"]) == (kind, rank, item, position)
            assert found["value"] == np.float32(value)
            assert found["quantile"] == pytest.approx(quantile, abs=1e-6)
            positions, heat = oracle.heat(item, atom)
            assert found["heat_positions"].tolist() == positions
            assert found["heat_values"].tolist() == pytest.approx(heat)


def check_labels(atlas: Atlas, oracle: Oracle) -> None:
    label = oracle.items["label"].to_numpy()
    for atom in range(atlas.n_atoms):
        counts = []
        for name in sorted(set(label) - {""}):
            fires = oracle.fires3[label == name][:, :, atom]
            if fires.any():
                counts.append((name, int(fires.sum()), int(fires.any(axis=1).sum())))
        counts.sort(key=lambda entry: (-entry[1], entry[0]))
        found = atlas.labels(atom)
        assert list(zip(found["label"], found["tokens"], found["items"], strict=True)) == counts[:20]
        assert found["share"].tolist() == pytest.approx([c[1] / oracle.fires[:, atom].sum() for c in counts[:20]])


def check_items(atlas: Atlas, oracle: Oracle) -> None:
    assert np.array_equal(atlas.support, oracle.fires3.sum(axis=2))
    if oracle.tau is None:
        assert atlas.tau is None
    else:
        assert np.array_equal(atlas.tau, oracle.tau)  # type: ignore[arg-type]
    assert atlas.items["support_mean"].to_numpy() == pytest.approx(atlas.support.mean(axis=1), rel=1e-6)
    for column in ("id", "kind", "split", "label", "caption", "source", "license", "credit", "width", "corpus_index"):
        assert atlas.items[column].tolist() == oracle.items[column].tolist()


def check_neighbours(atlas: Atlas, oracle: Oracle, sae: SparseAutoencoder) -> None:
    unit = torch.nn.functional.normalize(sae.directions().double(), dim=1).numpy()
    fires = oracle.fires.astype(np.float64)
    live = np.flatnonzero(oracle.fires.any(axis=0))
    norm = np.sqrt(fires.sum(axis=0))
    for atom in range(atlas.n_atoms):
        decoder, together = atlas.neighbours(atom, "decoder"), atlas.neighbours(atom, "coactivation")
        if atom not in live:
            assert len(decoder) == len(together) == 0
            continue
        others = [a for a in live if a != atom]
        cosine = sorted((float(unit[atom] @ unit[a]) for a in others), reverse=True)[:4]
        assert decoder["similarity"].tolist() == pytest.approx(cosine, abs=1e-5)
        for _, row in decoder.iterrows():
            assert row["similarity"] == pytest.approx(unit[atom] @ unit[int(row["other"])], abs=1e-5)
        pairs = [(-float(fires[:, atom] @ fires[:, a] / (norm[atom] * norm[a])), int(a)) for a in others]
        wanted = sorted(pair for pair in pairs if pair[0] < 0)[:4]
        assert together["similarity"].tolist() == pytest.approx([-c for c, _ in wanted], abs=1e-6)
        for _, row in together.iterrows():
            assert -row["similarity"] == pytest.approx({a: c for c, a in pairs}[int(row["other"])], abs=1e-6)


def check_codes(atlas: Atlas, oracle: Oracle, sae: SparseAutoencoder) -> None:
    assert len(atlas.sampled_items) == min(5, atlas.n_items)
    order = sorted(range(atlas.n_items), key=lambda i: mix(mix(i)))
    assert atlas.sampled_items.tolist() == sorted(order[:5])
    with torch.no_grad():
        scores = sae.scores(oracle.x).numpy()
    for item in atlas.sampled_items.tolist():
        heat = np.stack([atlas.item_heat(item, atom) for atom in range(atlas.n_atoms)], axis=1)  # type: ignore[arg-type]
        assert heat == pytest.approx(oracle.dense3[item], abs=1e-5)
        for position in range(atlas.n_positions):
            token = item * atlas.n_positions + position
            found = atlas.token_codes(item, position)
            assert found is not None
            assert found[0].tolist() == np.flatnonzero(oracle.fires[token]).tolist()
            entrants = atlas.entrants(item, position)
            if oracle.tau is None:
                assert entrants is None
                continue
            outside = np.flatnonzero(~oracle.fires[token])
            gaps = sorted(max(float(oracle.tau[item, position] - scores[token, a]), 0.0) for a in outside)[:8]
            assert entrants is not None
            assert entrants["gap"].tolist() == pytest.approx(gaps, abs=1e-4)
            assert not oracle.fires[token, entrants["atom"].to_numpy()].any()
