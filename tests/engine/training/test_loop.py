"""The training loop on a real (small) store: results, repeatability, resuming, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from engine.errors import AtomscopeError, InputError
from engine.files import sha256
from engine.sae import SparsemaxConfig, TopKConfig, load_sae
from engine.training import TrainConfig, train

D = 16
SPARSEMAX = SparsemaxConfig(d_model=D, n_atoms=48, scale=6.0, init="data", normalise="centre", gate="frequency")
TOPK = TopKConfig(d_model=D, n_atoms=48, k=4, dead_after=200)
QUICK = TrainConfig(
    tokens=2880, batch_tokens=50, lr=3e-3, warmup_steps=5, log_every=5, validate_every=20, dead_window=400
)


class Recorder:
    """A Progress that keeps what it was told, and can stop the work after some steps as a user would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.notes: list[str] = []
        self.done = 0
        self._stop_after = stop_after

    def start(self, stage: str, total: int | None, unit: str = "items") -> None:
        self.total, self.unit = total, unit

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self.notes.append(note)
        if self._stop_after is not None and len(self.notes) > self._stop_after:
            raise KeyboardInterrupt

    def finish(self, note: str = "") -> None: ...

    def warn(self, message: str) -> None: ...


def test_two_saes_in_one_pass_learn_and_leave_whole_runs(make_store, tmp_path: Path) -> None:
    store, progress = make_store(), Recorder()
    folders = train([SPARSEMAX, TOPK], store, tmp_path / "run", QUICK, progress)
    assert [folder.name for folder in folders] == ["sparsemax", "topk"]
    for folder, config in zip(folders, (SPARSEMAX, TOPK), strict=True):
        assert {path.name for path in folder.iterdir()} == {
            "config.json", "weights.safetensors", "training.parquet", "run.json",
        }  # fmt: skip
        assert load_sae(folder).config == config
        log = pd.read_parquet(folder / "training.parquet")
        assert list(log.columns) == [
            "step", "tokens", "loss", "nmse", "l0", "dead", "lr", "tokens_per_second", "seconds",
            "validation_nmse", "validation_l0",
        ]  # fmt: skip
        assert log["step"].tolist() == list(range(5, 61, 5)) and log["tokens"].iloc[-1] == 2880
        assert log["nmse"].iloc[-1] < 0.6 * log["nmse"].iloc[0]
        held_out = log.set_index("step")["validation_nmse"].dropna()
        assert held_out.index.tolist() == [20, 40, 60] and held_out.iloc[-1] < 1
        run = json.loads((folder / "run.json").read_text())
        assert run["activations"]["hash"] == store.hash and run["sae"] == config.to_dict()
    assert pd.read_parquet(folders[1] / "training.parquet")["l0"].eq(4).all()
    assert not (tmp_path / "run" / "checkpoint").exists()
    assert progress.total == progress.done == 2880 and progress.unit == "tokens"
    for word in ("sparsemax: loss", "NMSE", "L0", "dead", "topk: loss"):
        assert word in progress.notes[-1]


def test_training_reads_the_train_split_only(make_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store()
    rows_read = set()
    original = type(store).batches

    def spy(self, batch_tokens, rows=None, **options):
        rows_read.add(tuple(rows))
        return original(self, batch_tokens, rows=rows, **options)

    monkeypatch.setattr(type(store), "batches", spy)
    train([TOPK], store, tmp_path / "run", QUICK)
    assert rows_read == {tuple(store.rows("train")), tuple(store.rows("validation"))}


def test_a_store_without_splits_trains_on_everything(make_store, tmp_path: Path) -> None:
    store = make_store(splits=("",))
    (folder,) = train([TOPK], store, tmp_path / "run", TrainConfig(epochs=2, batch_tokens=60))
    log = pd.read_parquet(folder / "training.parquet")
    assert log["tokens"].iloc[-1] >= 2 * store.n_tokens
    assert log["validation_nmse"].isna().all()


def test_one_sae_goes_straight_into_the_folder(make_store, tmp_path: Path) -> None:
    assert train([TOPK], make_store(), tmp_path / "run", QUICK) == [tmp_path / "run"]
    assert load_sae(tmp_path / "run").config == TOPK


def test_company_does_not_change_a_result(make_store, tmp_path: Path) -> None:
    """An SAE trained beside another one is the SAE trained alone."""
    store = make_store()
    (alone,) = train([TOPK], store, tmp_path / "alone", QUICK)
    _, beside = train([SPARSEMAX, TOPK], store, tmp_path / "both", QUICK)
    assert sha256(alone / "weights.safetensors") == sha256(beside / "weights.safetensors")


def test_a_finished_training_is_left_alone_and_others_are_refused(make_store, tmp_path: Path) -> None:
    store = make_store()
    train([TOPK], store, tmp_path / "run", QUICK)
    written = (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns
    train([TOPK], store, tmp_path / "run", QUICK, Recorder(stop_after=0))
    assert (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns == written
    with pytest.raises(InputError, match=r"finished training with other settings \(topk\.k was 4, now 5\)"):
        train([TopKConfig(d_model=D, n_atoms=48, k=5, dead_after=200)], store, tmp_path / "run", QUICK)


def test_resuming_gives_the_same_weights_to_the_bit(make_store, tmp_path: Path, monkeypatch) -> None:
    store = make_store()
    eager = TrainConfig(**{**QUICK.to_dict(), "betas": (0.9, 0.999), "checkpoint_minutes": 0.0})
    whole = train([SPARSEMAX, TOPK], store, tmp_path / "whole", QUICK)
    for stop in (7, 1, 23):  # after steps 7, 8 and 31: in the middle of an epoch and of a row of the log
        with pytest.raises(KeyboardInterrupt):
            train([SPARSEMAX, TOPK], store, tmp_path / "parts", eager, Recorder(stop))
        assert len(list((tmp_path / "parts" / "checkpoint").iterdir())) == 1
    parts = train([SPARSEMAX, TOPK], store, tmp_path / "parts", eager)
    for one, two in zip(whole, parts, strict=True):
        assert sha256(one / "weights.safetensors") == sha256(two / "weights.safetensors")
        assert (one / "config.json").read_bytes() == (two / "config.json").read_bytes()
        logs = [
            pd.read_parquet(folder / "training.parquet").drop(columns=["tokens_per_second", "seconds"])
            for folder in (one, two)
        ]
        pd.testing.assert_frame_equal(*logs, check_exact=True)


@pytest.mark.slow
def test_kill_9_and_again_gives_the_same_weights(make_store, tmp_path: Path) -> None:
    store = make_store()
    options = {"tokens": 15000, "batch_tokens": 50, "lr": 3e-3, "log_every": 5}
    script = textwrap.dedent(
        f"""
        import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[3])!r})
        from pathlib import Path
        import torch; torch.set_num_threads(1)
        from engine.activations import ActivationStore
        from engine.sae import TopKConfig
        from engine.training import TrainConfig, train
        options = TrainConfig(checkpoint_minutes=0, **{options!r})
        config = TopKConfig(d_model={D}, n_atoms=48, k=4, dead_after=200)
        train([config], ActivationStore.open({str(store.path)!r}), Path({str(tmp_path / "killed")!r}), options)
        """
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train([TOPK], store, tmp_path / "whole", TrainConfig(**options))
        victim = subprocess.Popen([sys.executable, "-c", script])
        deadline = time.monotonic() + 120
        while not list((tmp_path / "killed" / "checkpoint").glob("step-*/state.json")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        assert (tmp_path / "killed" / "checkpoint").exists(), "it was to be killed after a checkpoint"
        assert not (tmp_path / "killed" / "run.json").exists(), "it was to be killed before the end"
        train([TOPK], store, tmp_path / "killed", TrainConfig(**options))
    finally:
        torch.set_num_threads(threads)
    hashes = {sha256(tmp_path / name / "weights.safetensors") for name in ("whole", "killed")}
    assert len(hashes) == 1
    assert not (tmp_path / "killed" / "checkpoint").exists()


def test_a_checkpoint_of_other_settings_is_refused(make_store, tmp_path: Path) -> None:
    store = make_store()
    eager = TrainConfig(tokens=3000, batch_tokens=50, checkpoint_minutes=0)
    with pytest.raises(KeyboardInterrupt):
        train([TOPK], store, tmp_path / "run", eager, Recorder(5))
    other = TrainConfig(tokens=3000, batch_tokens=60, checkpoint_minutes=0)
    with pytest.raises(InputError, match=r"unfinished training .*training\.batch_tokens was 50, now 60"):
        train([TOPK], store, tmp_path / "run", other)
    with pytest.raises(InputError, match="activations was"):
        train([TOPK], make_store("another", seed=5), tmp_path / "run", eager)


def test_a_damaged_checkpoint_is_one_sentence(make_store, tmp_path: Path) -> None:
    store = make_store()
    eager = TrainConfig(tokens=3000, batch_tokens=50, checkpoint_minutes=0)
    with pytest.raises(KeyboardInterrupt):
        train([TOPK], store, tmp_path / "run", eager, Recorder(5))
    (path,) = (tmp_path / "run" / "checkpoint").glob("step-*/topk.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"topk\.safetensors is damaged .* train again"):
        train([TOPK], store, tmp_path / "run", eager)


def test_wrong_width_is_refused(make_store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="width 16, the SAE wants 17"):
        train([TopKConfig(d_model=17, n_atoms=48)], make_store(), tmp_path / "run", QUICK)


def test_divergence_is_named(make_store, tmp_path: Path) -> None:
    wild = TrainConfig(tokens=3000, batch_tokens=50, lr=1e30, warmup_steps=0, grad_clip=0, log_every=1)
    with pytest.raises(AtomscopeError, match="lower --lr"):
        train([TOPK], make_store(), tmp_path / "run", wild)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_as_well_as_the_cpu(make_store, tmp_path: Path) -> None:
    store, ends = make_store(), []
    for device in ("cpu", "cuda"):
        options = TrainConfig(tokens=3000, batch_tokens=50, lr=3e-3, warmup_steps=5, device=device)
        (folder,) = train([SPARSEMAX], store, tmp_path / device, options)
        ends.append(pd.read_parquet(folder / "training.parquet")["nmse"].iloc[-1])
    assert ends[1] == pytest.approx(ends[0], rel=0.1)
