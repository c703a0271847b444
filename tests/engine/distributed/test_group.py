"""A group of one process is the identity; a process that dies ends the run with a sentence and leaves the checkpoint."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.activations import ActivationStore
from engine.distributed import ALONE, Group, batch_tokens, batch_variance, joined, share, shared_batch, total
from engine.distributed.split import check_splittable
from engine.distributed.training import check_shareable
from engine.errors import InputError
from engine.sae import SparsemaxConfig, TopKConfig, parse_config
from engine.training import TrainConfig, train

SCRIPT = str(Path(__file__).with_name("a_process_dies.py"))


def test_alone_nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    x = torch.randn(5, 3)
    with joined() as group, shared_batch(group, 5, 5) as mine:
        assert group == ALONE and mine == share() == 1.0 and batch_tokens(5) == 5
        assert total(x) is x and group.tokens(x) is x and group.agreed(True)
        assert torch.equal(batch_variance(x), (x - x.mean(0)).square().sum())


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("size", [2, 3])
def test_tokens_are_dealt_out_once(n: int, size: int) -> None:
    x = torch.arange(n)[:, None]
    parts = [Group(rank, size).tokens(x) for rank in range(size)]
    if n < size:
        assert all(part.equal(x) for part in parts)
    else:
        assert torch.cat(parts).equal(x)


def test_half_a_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="start it with torchrun"), joined():
        pass


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("relu", "topk and sparsemax can"),
        ("sparsemax:gate=frequency", "--gate none"),
        ("topk:k=3", "41 atoms cannot be split evenly"),
    ],
)
def test_what_cannot_be_split(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_splittable(parse_config(text, 8, 41), Group(0, 2))


def test_what_cannot_be_shared() -> None:
    check_shareable([SparsemaxConfig(d_model=8, n_atoms=16)], Group(0, 2), "tokens")
    with pytest.raises(InputError, match="without torchrun"):
        check_shareable([parse_config("matryoshka:k=3", 8, 64)], Group(0, 2), "tokens")
    with pytest.raises(InputError, match="not 'atoms'"):
        check_shareable([TopKConfig(d_model=8, n_atoms=16, k=2)], Group(0, 2), "atoms")


@pytest.mark.slow
def test_a_process_that_dies(
    make_store: Callable[..., ActivationStore],
    torchrun: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    store, out = make_store(), tmp_path / "run"
    done = torchrun(SCRIPT, str(store.path), str(out))
    assert done.returncode != 0 and "trained" not in done.stdout
    assert "Another process of this run has ended" in done.stdout
    assert list((out / "checkpoint").glob("step-*")) and not (out / "run.json").exists()
    # One process takes the run up where two left it.
    options = TrainConfig(tokens=400, batch_tokens=20, device="cpu", init_tokens=50)
    [folder] = train([TopKConfig(d_model=16, n_atoms=40, k=3)], store, out, options)
    assert (folder / "run.json").is_file() and not (out / "checkpoint").exists()
