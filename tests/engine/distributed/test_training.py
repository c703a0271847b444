"""Two processes train what one process trains."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from engine.activations import ActivationStore

SCRIPT = str(Path(__file__).with_name("two_trainings.py"))
Torchrun = Callable[..., subprocess.CompletedProcess[str]]
FIGURES = ["step", "tokens", "loss", "nmse", "l0", "dead", "lr", "validation_nmse"]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["tokens", "dictionary"])
def test_two_processes_give_the_sae_of_one(
    split: str, make_store: Callable[..., ActivationStore], torchrun: Torchrun, tmp_path: Path
) -> None:
    store = make_store().path
    for processes in (1, 2):
        done = torchrun(SCRIPT, str(store), str(tmp_path / f"by-{processes}"), split, processes=processes)
        assert done.returncode == 0, done.stderr
    folders = sorted(path.parent.name for path in (tmp_path / "by-1").glob("*/run.json"))
    assert len(folders) == (7 if split == "tokens" else 3)
    for name in folders:
        one, two = (load_file(tmp_path / f"by-{n}" / name / "weights.safetensors") for n in (1, 2))
        assert_close(two, one, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
        logs = [pd.read_parquet(tmp_path / f"by-{n}" / name / "training.parquet")[FIGURES] for n in (1, 2)]
        pd.testing.assert_frame_equal(logs[1], logs[0], rtol=1e-4, atol=1e-6)
