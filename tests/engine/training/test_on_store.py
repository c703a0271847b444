"""A training by name and path: its size and length suit the data, and it says how it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.sae import TopKConfig, load_sae
from engine.training import TrainConfig
from engine.training.on_store import default_atoms, default_epochs, train_on_store

QUICK = TrainConfig(tokens=600, batch_tokens=48, lr=1e-3, device="cpu")


def test_settings_go_to_the_architectures_that_know_them(make_store, tmp_path: Path) -> None:
    store, out = make_store().path, tmp_path / "run"
    saes = ["topk:k=3", "sparsemax:scale=2"]
    runs = train_on_store(store, out, saes, {"scale": 4.0, "init": "data"}, QUICK, atoms=40)
    assert [run.folder for run in runs] == [out / "topk", out / "sparsemax"]
    assert load_sae(out / "topk").config == TopKConfig(d_model=16, n_atoms=40, k=3, init="data")
    assert load_sae(out / "sparsemax").config.to_dict()["scale"] == 2.0
    for run in runs:
        assert run.summary.startswith("NMSE ") and " tokens; NMSE on the validation split 0." in run.summary


def test_without_a_size_the_store_decides(make_store, tmp_path: Path) -> None:
    (run,) = train_on_store(make_store().path, tmp_path / "run", ["topk:k=3"], {}, QUICK)
    assert load_sae(run.folder).config.n_atoms == 512


@pytest.mark.parametrize(
    ("tokens", "atoms"), [(0, 512), (65_536, 512), (131_072, 1024), (568_739, 4096), (2**30, 8192)]
)
def test_the_dictionary_fits_the_data_by_default(tokens: int, atoms: int) -> None:
    assert default_atoms(tokens) == atoms


def test_a_small_folder_is_passed_more_often() -> None:
    assert default_epochs(568_739, 4096) == 8
    assert default_epochs(40 * 197, 4096) == 156
