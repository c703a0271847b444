"""Two processes train what one process trains, go on where they stopped, and end with a sentence where one dies."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from engine.activations import ActivationStore
from engine.sae import TopKConfig
from engine.training import TrainConfig, train

SCRIPT = str(Path(__file__).with_name("two_trainings.py"))
DYING = str(Path(__file__).with_name("a_process_dies.py"))
Torchrun = Callable[..., subprocess.CompletedProcess[str]]
FIGURES = ["step", "tokens", "loss", "nmse", "l0", "dead", "lr", "validation_nmse"]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["tokens", "dictionary"])
def test_two_processes_give_the_sae_of_one_and_go_on_where_they_stopped(
    split: str, make_store: Callable[..., ActivationStore], torchrun: Torchrun, tmp_path: Path
) -> None:
    store = make_store().path
    for processes in (1, 2):
        done = torchrun(SCRIPT, str(store), str(tmp_path / f"by-{processes}"), split, processes=processes)
        assert done.returncode == 0, done.stderr
    folders = sorted(path.parent.name for path in (tmp_path / "by-1").glob("*/run.json"))
    assert len(folders) == (7 if split == "tokens" else 4)
    for name in folders:
        one, two = (load_file(tmp_path / f"by-{n}" / name / "weights.safetensors") for n in (1, 2))
        assert_close(two, one, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
        logs = [pd.read_parquet(tmp_path / f"by-{n}" / name / "training.parquet")[FIGURES] for n in (1, 2)]
        pd.testing.assert_frame_equal(logs[1], logs[0], rtol=1e-4, atol=1e-6)
    stopped = tmp_path / "stopped"
    assert torchrun(SCRIPT, str(store), str(stopped), split, "4").returncode != 0
    assert list((stopped / "checkpoint").glob("step-*")) and not list(stopped.glob("*/run.json"))
    done = torchrun(SCRIPT, str(store), str(stopped), split)
    assert done.returncode == 0, done.stderr
    for name in folders:
        one, two = (load_file(tmp_path / run / name / "weights.safetensors") for run in ("by-2", "stopped"))
        assert all(one[key].equal(two[key]) for key in one), f"{name}: gone on with, it is another SAE"


@pytest.mark.slow
def test_a_process_that_dies(make_store: Callable[..., ActivationStore], torchrun: Torchrun, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "run"
    done = torchrun(DYING, str(store.path), str(out))
    assert done.returncode != 0 and "trained" not in done.stdout
    assert "Another process of this run has ended" in done.stdout
    assert list((out / "checkpoint").glob("step-*")) and not (out / "run.json").exists()
    # One process takes the run up where two left it.
    options = TrainConfig(tokens=400, batch_tokens=20, device="cpu", init_tokens=50)
    [folder] = train([TopKConfig(d_model=16, n_atoms=40, k=3)], store, out, options)
    assert (folder / "run.json").is_file() and not (out / "checkpoint").exists()
