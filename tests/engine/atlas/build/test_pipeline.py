"""The builder against a brute-force oracle that works from the dense code matrix, column by column."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.activations import ActivationStore
from engine.atlas import Atlas, AtlasOptions, build_atlas
from engine.atlas.build import token_pass
from engine.atlas.validation import validate_atlas
from engine.errors import InputError
from engine.progress import Silent
from engine.sae import SparseAutoencoder, SparsemaxConfig, TopKConfig

MASK = 2**64 - 1


def mix(value: int) -> int:
    """SplitMix64's finaliser on Python integers."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


class Oracle:
    """Everything an atlas says, worked out the slow way from dense codes [T, M]."""

    def __init__(self, sae: SparseAutoencoder, store: ActivationStore, top_n: int) -> None:
        self.x = torch.cat([store.item(i) for i in range(store.n_items)])
        with torch.no_grad():
            codes, tau = sae.encode_with_threshold(self.x)
        self.tau = None if tau is None else tau.numpy().reshape(store.n_items, -1)
        self.fires = np.zeros((len(self.x), codes.n_atoms), bool)
        self.fires[codes.row.numpy(), codes.col.numpy()] = True
        self.dense = codes.dense().numpy()
        self.n_items, self.n_positions, self.top_n = store.n_items, store.n_positions, top_n
        shape = (store.n_items, store.n_positions, -1)
        self.fires3, self.dense3 = self.fires.reshape(shape), self.dense.reshape(shape)
        self.items, self.embeddings = store.items, np.asarray(store.embeddings, np.float64)

    def item_values(self, atom: int) -> dict[int, tuple[float, int]]:
        """Item -> its largest activation and the first position that reaches it."""
        found = {}
        for item in range(self.n_items):
            where = np.flatnonzero(self.fires3[item, :, atom])
            if len(where):
                values = self.dense3[item, where, atom]
                found[item] = (float(values.max()), int(where[values.argmax()]))
        return found

    def exemplars(self, atom: int) -> list[tuple[str, int, int, int, float, float]]:
        """Rows (kind, rank, item, position, value, quantile)."""
        values = self.item_values(atom)
        ranked = sorted(values, key=lambda i: (-values[i][0], i))
        top = ranked[: self.top_n]
        rows = [
            ("top", r, i, values[i][1], values[i][0], np.mean([v <= values[i][0] for v, _ in values.values()]))
            for r, i in enumerate(top)
        ]
        priority = {i: mix(mix(i) ^ atom) for i in values}
        sample = sorted(values, key=lambda i: priority[i])[:64]
        rest = [i for i in sorted(sample, key=lambda i: (-values[i][0], i)) if i not in top]
        chosen = []
        for band in range(4):
            members = [i for place, i in enumerate(rest) if place * 4 // len(rest) == band]
            chosen += sorted(members, key=lambda i: priority[i])[:3]
        chosen.sort(key=lambda i: (-values[i][0], i))
        for r, i in enumerate(chosen):
            share = np.mean([values[j][0] <= values[i][0] for j in sample])
            rows.append(("quantile", r, i, values[i][1], values[i][0], share))
        return rows

    def heat(self, item: int, atom: int) -> tuple[list[int], list[float]]:
        """Positions and values of one heat map: the 64 largest, in order of position."""
        where = np.flatnonzero(self.fires3[item, :, atom])
        values = self.dense3[item, where, atom]
        keep = sorted(sorted(range(len(where)), key=lambda i: (-values[i], where[i]))[:64])
        return [int(where[i]) for i in keep], [float(values[i]) for i in keep]

    def atom(self, atom: int, n_tokens: int) -> dict[str, Any]:
        """The measured columns of one atom."""
        fires = self.fires[:, atom]
        values = self.item_values(atom)
        count = int(fires.sum())
        labels: dict[str, float] = {}
        top = [row for row in self.exemplars(atom) if row[0] == "top"]
        for _, _, item, _, value, _ in top:
            name = self.items["label"][item]
            if name and value > 0:
                labels[name] = labels.get(name, 0.0) + value
        shares = [v / sum(labels.values()) for v in labels.values()]
        pairs = [(i, j) for i in values for j in values if i != j]
        weight = {i: max(values[i][0], 0.0) for i in values}
        total = sum(weight[i] * weight[j] for i, j in pairs)
        e = self.embeddings
        mono = sum(weight[i] * weight[j] * (e[i] @ e[j]) for i, j in pairs) / total if total > 0 else math.nan
        top_pairs = [e[a[2]] @ e[b[2]] for a in top for b in top if a[2] != b[2]]
        frequency = count / n_tokens
        status = "dead" if count == 0 else "rare" if frequency < 1e-5 else "dense" if frequency > 0.1 else "live"
        best = min(labels, key=lambda n: (-labels[n], n)) if labels else ""
        return {
            "firing_count": count,
            "item_count": len(values),
            "frequency": frequency,
            "mean_activation": self.dense[fires, atom].mean(dtype=np.float64) if count else math.nan,
            "max_activation": self.dense[fires, atom].max() if count else math.nan,
            "status": status,
            "label_entropy": -sum(s * math.log2(s) for s in shares) if shares else math.nan,
            "top_label": best,
            "top_label_share": labels[best] / sum(labels.values()) if labels else math.nan,
            "monosemanticity": mono,
            "diversity": 1 - np.mean(top_pairs) if top_pairs else math.nan,
        }


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


def test_batches_do_not_change_the_tables(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    new_sae(tmp_path / "sae")
    options = AtlasOptions(layout=False, sample_items=3)
    one = Atlas.open(build_atlas(tmp_path / "sae", store, tmp_path / "one", options))
    monkeypatch.setattr(token_pass, "BATCH_TOKENS", 7)
    many = Atlas.open(build_atlas(tmp_path / "sae", store, tmp_path / "many", options))
    # Matrix products of other shapes may round otherwise; the numbers agree, and so does every count.
    pd.testing.assert_frame_equal(one.atoms, many.atoms, rtol=1e-4, atol=1e-5)
    assert np.array_equal(one.support, many.support)


def test_a_map_and_clusters_are_part_of_the_atlas(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder]
) -> None:
    new_sae(tmp_path / "sae")
    progress = Silent()
    atlas = Atlas.open(build_atlas(tmp_path / "sae", store, tmp_path / "atlas", AtlasOptions(), progress))
    assert atlas.meta["layout"]["method"] == "pca"  # too few atoms for UMAP
    live = atlas.atoms["firing_count"] > 0
    assert atlas.atoms.loc[live, ["x", "y"]].notna().all(axis=None)
    assert atlas.atoms.loc[~live, ["x", "y"]].isna().all(axis=None)
    assert atlas.meta["thumbs"] == {"kind": "none"}
    assert any("without pictures" in line for line in progress.warnings)
    assert validate_atlas(atlas.path) == []


def test_baselines_and_the_training_log_come_along(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder]
) -> None:
    new_sae(tmp_path / "sae")
    new_sae(tmp_path / "runs" / "topk", CONFIGS["topk"])
    log = pd.DataFrame({"step": [1, 2], "loss": [0.5, 0.25]})
    log.to_parquet(tmp_path / "sae" / "training.parquet")
    # A folder with one run in it stands for that run.
    options = AtlasOptions(layout=False, baselines={"topk": tmp_path / "runs"})
    atlas = Atlas.open(build_atlas(tmp_path / "sae", store, tmp_path / "atlas", options))
    assert atlas.baselines == ["topk"]
    assert atlas.baseline("topk").config == CONFIGS["topk"]
    assert atlas.training is not None and atlas.training["loss"].tolist() == [0.5, 0.25]
    assert torch.equal(atlas.sae().atoms, new_sae(tmp_path / "again").atoms)
    with pytest.raises(InputError, match="no baseline 'other'"):
        atlas.baseline("other")


def test_inputs_that_do_not_fit_are_refused_in_one_sentence(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder]
) -> None:
    new_sae(tmp_path / "sae")
    new_sae(tmp_path / "wide", SparsemaxConfig(d_model=12, n_atoms=16))
    with pytest.raises(InputError, match="width 12, the store holds width 8"):
        build_atlas(tmp_path / "wide", store, tmp_path / "atlas")
    with pytest.raises(InputError, match="holds no trained SAE"):
        build_atlas(tmp_path / "nothing", store, tmp_path / "atlas")
    with pytest.raises(InputError, match="several SAEs"):
        build_atlas(tmp_path, store, tmp_path / "atlas")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is no atlas"):
        build_atlas(tmp_path / "sae", store, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(InputError, match="--corpus-beside needs the corpus"):
        build_atlas(tmp_path / "sae", store, tmp_path / "atlas", AtlasOptions(corpus_beside=True))
    with pytest.raises(InputError, match="no device 'abacus'"):
        build_atlas(tmp_path / "sae", store, tmp_path / "atlas", AtlasOptions(device="abacus"))
    with pytest.raises(InputError, match="top_n must be at least 1"):
        AtlasOptions(top_n=0)
    with pytest.raises(InputError, match="becomes a folder"):
        AtlasOptions(baselines={"../up": tmp_path})
