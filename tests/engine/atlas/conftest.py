"""Small real inputs: an activation store written in its format, and a trained-looking sparsemax SAE."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from engine.activations import ActivationStore
from engine.atlas import Atlas
from engine.files import sha256, write_json
from engine.sae import SAEConfig, SparseAutoencoder, SparsemaxConfig, build_sae, save_sae
from tests.synthetic_atlas import write_synthetic_atlas

COLOURS = ("red", "blue", "green")
THINGS = ("apple", "bird", "car", "door")


def write_store(
    path: Path, n_items: int = 30, grid: tuple[int, int] = (2, 3), d_model: int = 8, seed: int = 0, words: bool = True
) -> ActivationStore:
    """An activation store with CLS + patches of drawn activations, captions and labels; no images behind it."""
    rng = np.random.default_rng(seed)
    positions = 1 + grid[0] * grid[1]
    (path / "shards").mkdir(parents=True)
    thing = rng.integers(len(THINGS), size=n_items)
    colour = rng.integers(len(COLOURS), size=n_items)
    centres = rng.normal(size=(len(THINGS), d_model))
    x = (centres[thing][:, None] + 0.8 * rng.normal(size=(n_items, positions, d_model))).astype("<f4")
    x.tofile(path / "shards" / "00000.bin")
    embeddings = (centres[thing] + 0.3 * rng.normal(size=(n_items, d_model))).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    np.save(path / "embeddings.npy", embeddings)
    captions = [f"A {COLOURS[c]} {THINGS[t]} here." for c, t in zip(colour, thing, strict=True)]
    items = pd.DataFrame(
        {
            "id": [f"item-{i:04d}" for i in range(n_items)],
            "kind": "image",
            "split": [("train", "validation", "test")[i % 3] for i in range(n_items)],
            "label": [THINGS[t] if words else "" for t in thing],
            "caption": captions if words else "",
            "keywords": [[COLOURS[c]] if words else [] for c in colour],
            "source": "drawn",
            "license": "CC0-1.0",
            "credit": "",
            "width": np.full(n_items, 64, np.int32),
            "height": np.full(n_items, 48, np.int32),
            "corpus_index": np.arange(n_items, dtype=np.int32) * 2,
        }
    )
    items.to_parquet(path / "items.parquet")
    described = {name: {"bytes": (path / name).stat().st_size, "sha256": sha256(path / name)} for name in _FILES}
    backbone = {
        "name": "tiny",
        "revision": "1",
        "architecture": "none",
        "layer": -2,
        "layer_index": 1,
        "n_layers": 3,
        "site": "residual",
        "tokens": "all",
        "d_model": d_model,
        "embedding_dim": d_model,
        "embedding": "projected",
        "grid": list(grid),
        "prefix": 1,
        "image_size": [grid[0] * 16, grid[1] * 16],
        "preprocessing": {},
        "dtype": "float32",
        "note": "",
    }
    manifest = {
        "format": {"name": "atomscope-activations", "major": 1, "minor": 0},
        "dtype": "float32",
        "items": n_items,
        "positions": positions,
        "d_model": d_model,
        "embedding_dim": d_model,
        "backbone": backbone,
        "corpus": {
            "name": "drawn",
            "hash": hashlib.sha256(str(seed).encode()).hexdigest(),
            "items": 2 * n_items,
            "splits": items["split"].value_counts().to_dict(),
            "path": str(path / "gone"),
        },
        "extraction": {"batch_size": 4, "limit": None, "packages": {}},
        "skipped": [{"corpus_index": 1, "id": "broken", "reason": "not an image"}],
        "shards": [{"file": "shards/00000.bin", "items": n_items, **described.pop("shards/00000.bin")}],
        "files": described,
    }
    write_json(path / "manifest.json", manifest)
    return ActivationStore.open(path)


_FILES = ("shards/00000.bin", "items.parquet", "embeddings.npy")


def make_sae(folder: Path, config: SAEConfig | None = None, seed: int = 0) -> SparseAutoencoder:
    """An SAE with drawn parameters, saved to ``folder``; by default 40 sparsemax atoms of which some never fire."""
    config = config or SparsemaxConfig(d_model=8, n_atoms=40, scale=2.0)
    sae = build_sae(config, seed).eval()
    with torch.no_grad():
        # Unequal lengths: a few atoms win often, some never.
        sae.atoms *= torch.linspace(0.1, 2.5, config.n_atoms)[:, None] / sae.atoms.norm(dim=1, keepdim=True)
    save_sae(sae, folder)
    return sae


@pytest.fixture
def store(tmp_path: Path) -> ActivationStore:
    """A store of 30 items of 7 positions, width 8."""
    return write_store(tmp_path / "store")


@pytest.fixture
def new_sae() -> Callable[..., SparseAutoencoder]:
    """``make_sae``."""
    return make_sae


@pytest.fixture(name="write_store")
def _write_store() -> Callable[..., ActivationStore]:
    """``write_store`` itself, for tests that choose the folder."""
    return write_store


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """A synthetic atlas of 192 atoms, some of them dead, over 60 items."""
    return Atlas.open(write_synthetic_atlas(tmp_path_factory.mktemp("atlas") / "small", 192, 60, seed=3))
