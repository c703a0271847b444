"""Sweeps: what the file says is what is trained, on the same batches, and a stop loses nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from engine.errors import AtomscopeError, InputError
from engine.files import sha256
from engine.sae import BatchTopKConfig, ReLUConfig, TopKConfig, load_sae
from engine.training import TrainConfig, train
from engine.training.hyperparameter_sweep import plan, run_sweep
from engine.training.hyperparameter_sweep_config import l0_targets, read_sweep
from engine.training.train_spec import TrainSpec

SHARED = """
seeds = [3, 5]
[training]
tokens = 480
batch_tokens = 48
lr = 1e-3
log_every = 5
[defaults]
n_atoms = 32
init = "spread"
scale = 4.0
"""


@pytest.fixture
def write(make_store, tmp_path: Path):
    """``write(saes)``: a sweep file over a small store."""
    store = make_store()

    def write(saes: str, shared: str = SHARED) -> Path:
        path = tmp_path / "sweep.toml"
        path.write_text(f'store = "{store.path}"\nout = "{tmp_path / "out"}"\n{shared}\n{saes}', "utf-8")
        return path

    return write


TWO = '[[sae]]\narchitecture = "topk"\nk = [2, 4]\nlr = 3e-3\n[[sae]]\narchitecture = "sparsemax"\nseed = 9\n'


def test_a_grid_is_written_out(write) -> None:
    sweep = read_sweep(write(TWO))
    assert [spec.name for spec in sweep.specs] == ["topk-k2", "topk-k4", "sparsemax"]
    one, two, three = sweep.specs
    assert one.config == TopKConfig(d_model=16, n_atoms=32, k=2, init="spread") and (one.lr, one.seed) == (3e-3, None)
    assert two.config.k == 4 and three.config.scale == 4.0 and three.seed == 9
    assert {seed: options.seed for seed, options in sweep.passes.items()} == {3: 3, 5: 5}
    assert sweep.passes[3].tokens == 480


def test_a_sweep_is_its_trainings_and_leaves_a_table(write, tmp_path: Path, make_store) -> None:
    sweep = read_sweep(write(TWO))
    assert set(plan(sweep)["state"]) == {"new"}
    table = run_sweep(sweep)
    assert len(table) == 6 and table["seed"].tolist() == [3, 3, 3, 5, 5, 5]
    assert table["l0"][table["name"] == "topk-k4"].eq(4).all() and table["validation_l0"].notna().all()
    assert (table["seconds"] > 0).all()
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "out" / "sweep.parquet"))
    assert set(plan(sweep)["state"]) == {"finished"}

    # The same as the SAE trained alone, with its seed as the order's and the learning rate as its own.
    options = TrainConfig(**(sweep.passes[5].to_dict() | {"betas": (0.9, 0.999), "lr": 3e-3}))
    (alone,) = train([sweep.specs[1].config], make_store(), tmp_path / "alone", options)
    beside = tmp_path / "out" / table["folder"][4]
    assert sha256(alone / "weights.safetensors") == sha256(beside / "weights.safetensors")
    assert json.loads((beside / "run.json").read_text())["training"]["lr"] == pytest.approx(3e-3)

    # An SAE with a seed of its own starts the same in every pass, and still sees other batches.
    runs = [json.loads((tmp_path / "out" / table["folder"][i] / "run.json").read_text()) for i in (2, 5)]
    assert [run["training"]["seed"] for run in runs] == [9, 9] and [run["data_seed"] for run in runs] == [3, 5]


class Stop:
    """A Progress that stops the work after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def start(self, stage: str, total: int | None, unit: str = "items") -> None: ...

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def finish(self, note: str = "") -> None: ...

    def warn(self, message: str) -> None: ...


def test_a_stopped_sweep_goes_on(write, tmp_path: Path) -> None:
    eager = SHARED.replace("log_every = 5", "log_every = 5\ncheckpoint_minutes = 0")
    sweep = read_sweep(write(TWO, eager))
    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep, Stop(after=10 + 5))  # ten steps a pass
    assert plan(sweep)["state"].tolist() == ["finished"] * 3 + ["unfinished"] * 3
    finished = tmp_path / "out" / "seed-3" / "topk-k2" / "weights.safetensors"
    written = finished.stat().st_mtime_ns
    stopped = run_sweep(sweep)
    assert finished.stat().st_mtime_ns == written
    whole = run_sweep(read_sweep(write(TWO, eager.replace("[3, 5]", "[5]"))))
    weights = [tmp_path / "out" / folder / "weights.safetensors" for folder in stopped["folder"][3:]]
    assert all(path.is_file() for path in weights)
    numbers = ["nmse", "l0", "validation_nmse"]
    pd.testing.assert_frame_equal(stopped[numbers][3:].reset_index(drop=True), whole[numbers])


@pytest.mark.parametrize(
    ("saes", "shared", "sentence"),
    [
        ('[[sae]]\narchitecture = "topk"\nkk = 3', SHARED, r"\[\[sae\]\] 1: unknown setting 'kk'; did you mean 'k'"),
        ('[[sae]]\narchitecture = "jumprelo"', SHARED, "unknown architecture 'jumprelo'; did you mean 'jumprelu'"),
        ('[[sae]]\narchitecture = "topk"', SHARED.replace("batch_tokens", "batch_token"), "did you mean 'batch_tokens'"),
        ('[[sae]]\narchitecture = "topk"', SHARED.replace("n_atoms", "n_atom"), "did you mean 'n_atoms'"),
        ('[[sae]]\narchitecture = "topk"', SHARED.replace("seeds", "seed"), "unknown setting 'seed'; did you mean 'seeds'"),
        ('[[sae]]\narchitecture = "topk"', SHARED.replace("[3, 5]", "[-1]"), "seeds must be a list of whole numbers"),
        ('[[sae]]\narchitecture = "topk"', SHARED.replace("480", '"many"'), r"\[training\] has a value of the wrong"),
        ('[[sae]]\narchitecture = "topk"', SHARED.replace("= 32", "= [32]"), "n_atoms must be a number"),
        ('[[sae]]\narchitecture = "topk"\nk = 99', SHARED, "k must lie in 1 .. n_atoms"),
        ('[[sae]]\narchitecture = "topk"\nk = []', SHARED, "list of values for 'k' is empty"),
        ('[[sae]]\narchitecture = "topk"\nlr = "high"', SHARED, "lr a number"),
        ('[[sae]]\narchitecture = "topk"\nname = "a/b"', SHARED, "name must be made of letters"),
        ('[[sae]]\narchitecture = "topk"\n[[sae]]\narchitecture = "topk"', SHARED, "are called 'topk'"),
        ('[[sae]]\narchitecture = "topk"\nk = "guide:nowhere"', SHARED, "nowhere holds no finished training"),
        ('[[sae]]\narchitecture = "topk"\naux_k = "guide:nowhere"', SHARED, "Only k and target_l0"),
        ("sae = 3", SHARED.split("[training]")[0], "'sae' must be a list of tables"),
        ("", SHARED, "'sae' is missing"),
        ("[[sae", SHARED, "not a readable TOML"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(write, saes: str, shared: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        read_sweep(write(saes, shared))
    assert "\n" not in str(caught.value)


def test_a_run_guides_k_and_target(write, tmp_path: Path, make_store) -> None:
    quick = TrainConfig(tokens=480, batch_tokens=48)
    (run,) = train([TopKConfig(d_model=16, n_atoms=32, k=6)], make_store(), tmp_path / "run", quick)
    assert l0_targets(run) == [3.0, 6.0, 12.0]
    saes = "".join(f'[[sae]]\narchitecture = "{kind}"\n{key} = "guide:{run}"\n'
                   for kind, key in (("batchtopk", "k"), ("relu", "target_l0")))  # fmt: skip
    specs = read_sweep(write(saes)).specs
    shared = {"d_model": 16, "n_atoms": 32, "init": "spread"}
    assert [spec.config for spec in specs[:3]] == [BatchTopKConfig(k=k, **shared) for k in (3, 6, 12)]
    assert [spec.config for spec in specs[3:]] == [ReLUConfig(target_l0=l0, **shared) for l0 in (3.0, 6.0, 12.0)]


def test_train_specs_are_checked() -> None:
    config = TopKConfig(d_model=16, n_atoms=32)
    with pytest.raises(InputError, match="lr must be positive"):
        TrainSpec(config=config, lr=0.0)
    with pytest.raises(InputError, match="seed must not be negative"):
        TrainSpec(config=config, seed=-1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_activation_that_is_no_number_is_named(make_store, tmp_path: Path, value: float) -> None:
    store = make_store()
    item = int(store.rows("train")[7])
    shard, row = store.locate(item)
    path = store.path / shard
    numbers = torch.from_file(str(path), shared=True, size=path.stat().st_size // 4)
    numbers[(row * store.n_positions + 2) * store.d_model + 3] = value
    del numbers
    with pytest.raises(AtomscopeError, match=rf"{path} holds .* row {row} at position 2 \(item {item}\)") as caught:
        train([TopKConfig(d_model=16, n_atoms=32, k=4)], store, tmp_path / "run", TrainConfig(batch_tokens=48))
    assert not isinstance(caught.value, InputError)


def test_numbers_that_overflow_together_only_are_let_through(make_store) -> None:
    from engine.activations import TokenBatch
    from engine.training.checks import check_finite

    check_finite(TokenBatch(torch.full((4, 16), 3e38), torch.arange(4)), make_store())


def test_curves_can_be_read_while_training(make_store, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = TrainConfig(tokens=960, batch_tokens=48, log_every=5)
    config = TopKConfig(d_model=16, n_atoms=32, k=4)
    (run,) = train([config], make_store(), tmp_path / "run", options, tensorboard=True)
    events = EventAccumulator(str(run / "tensorboard" / "topk"))
    events.Reload()
    log = pd.read_parquet(run / "training.parquet")
    assert [event.step for event in events.Scalars("nmse")] == log["step"].tolist()
    assert [event.value for event in events.Scalars("l0")] == pytest.approx(log["l0"].tolist())
    assert load_sae(run).config == config
