"""What a whole build gives beside its tables, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from engine.activations import ActivationStore
from engine.atlas import Atlas, AtlasOptions, build_atlas
from engine.atlas.validation import validate_atlas
from engine.errors import InputError
from engine.progress import SilentProgress
from engine.sae import SparseAutoencoder, SparsemaxConfig, TopKConfig

TOPK = TopKConfig(d_model=8, n_atoms=24, k=3)


def test_a_map_and_clusters_are_part_of_the_atlas(
    tmp_path: Path, store: ActivationStore, new_sae: Callable[..., SparseAutoencoder]
) -> None:
    new_sae(tmp_path / "sae")
    progress = SilentProgress()
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
    new_sae(tmp_path / "runs" / "topk", TOPK)
    log = pd.DataFrame({"step": [1, 2], "loss": [0.5, 0.25]})
    log.to_parquet(tmp_path / "sae" / "training.parquet")
    # A folder with one run in it stands for that run.
    options = AtlasOptions(layout=False, baselines={"topk": tmp_path / "runs"})
    atlas = Atlas.open(build_atlas(tmp_path / "sae", store, tmp_path / "atlas", options))
    assert atlas.baselines == ["topk"]
    assert atlas.baseline("topk").config == TOPK
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
