"""``evaluate`` as the engine's callers use it: plain data back, and one sentence where things do not fit together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.evaluation import EvaluationOptions, evaluate, measure
from engine.progress import SilentProgress
from engine.sae import SparsemaxConfig, TopKConfig, build_sae, load_sae, save_sae


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_sae(build_sae(TopKConfig(d_model=16, n_atoms=32, k=3)), tmp_path / "topk")


def test_runs_side_by_side_are_plain_data(make_store, run: Path, tmp_path: Path, capsys) -> None:
    store = make_store()
    other = save_sae(build_sae(SparsemaxConfig(d_model=16, n_atoms=32)), tmp_path / "sparsemax")
    found = evaluate([run, other], EvaluationOptions(device="cpu"), store.path)
    assert list(found.saes) == [str(run), str(other)] and not found.is_atlas and found.classifier is None
    assert found.saes[str(run)] == measure(load_sae(run), store, store.rows("test"))
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(document) == {"path", "split", "saes", "definitions"} and "fvu" in document["definitions"]
    said = capsys.readouterr()
    assert said.out == said.err == "", "the engine prints nothing: it tells its progress"


def test_each_pass_says_which_sae_it_measures(make_store, run: Path) -> None:
    class Stages(SilentProgress):
        def start(self, stage: str, total: int | None, unit: str = "items") -> None:
            self.warnings.append(stage)

    progress = Stages()
    evaluate([run], EvaluationOptions(device="cpu", split="validation"), make_store().path, progress=progress)
    assert progress.warnings == [f"measure {run} on the validation split"]


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_is_a_number(threshold: float) -> None:
    with pytest.raises(InputError, match="must be a number"):
        EvaluationOptions(threshold=threshold)


def test_another_seed_must_have_the_architecture_of_one_that_is_measured(make_store, run: Path, tmp_path: Path) -> None:
    other = save_sae(build_sae(SparsemaxConfig(d_model=16, n_atoms=32)), tmp_path / "other")
    with pytest.raises(InputError, match="is a sparsemax SAE, and none of that kind is measured"):
        evaluate([run], EvaluationOptions(device="cpu"), make_store().path, [other])
