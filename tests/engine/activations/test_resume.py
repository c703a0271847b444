"""A run killed at any moment and started again ends with the same store, to the byte."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.activations import ActivationStore, extract
from engine.activations.layout import JOURNAL, MANIFEST
from engine.activations.writer import StoreWriter
from engine.backbones import Backbone
from engine.corpus import Corpus
from engine.errors import AtomscopeError, InputError
from engine.progress import SilentProgress

Pictures = Callable[..., Corpus]
BATCH = 3


class Stop(SilentProgress):
    """Stops the work after some batches, as Ctrl-C would."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches + 1  # the first report is of what was there already

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def files(path: Path) -> dict[str, bytes]:
    """Every file below a folder: name to bytes."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches a shard."""
    monkeypatch.setattr("engine.activations.writer.SHARD_BYTES", 2 * BATCH * 5 * 16 * 4)


@pytest.fixture
def corpus(pictures: Pictures) -> Corpus:
    """Seven batches in four shards, with unreadable pictures at both ends of batches."""
    return pictures(20, bad=(0, 10, 17))


@pytest.fixture
def reference(backbone: Backbone, corpus: Corpus, tmp_path: Path, small_shards: None) -> dict[str, bytes]:
    """The files of an uninterrupted run."""
    extract(backbone, corpus, tmp_path / "reference", batch_size=BATCH)
    found = files(tmp_path / "reference")
    assert [name for name in found if name.endswith(".bin")] == [f"shards/{index:05d}.bin" for index in range(4)]
    return found


@pytest.mark.parametrize("batches", range(1, 8))
def test_stopped_after_any_batch(
    batches: int, backbone: Backbone, corpus: Corpus, tmp_path: Path, reference: dict[str, bytes]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(backbone, corpus, tmp_path / "store", batch_size=BATCH, progress=Stop(batches))
    with pytest.raises(InputError, match="is not finished: run the same atomscope extract command again"):
        ActivationStore.open(tmp_path / "store")
    extract(backbone, corpus, tmp_path / "store")  # without a batch size: a continued run keeps the one it began with
    assert files(tmp_path / "store") == reference


def test_killed_between_any_two_writes(
    backbone: Backbone, corpus: Corpus, tmp_path: Path, reference: dict[str, bytes]
) -> None:
    """Every state the disk can be in: a journal cut anywhere, and data files that are ahead of it."""
    unfinished = tmp_path / "unfinished"
    with pytest.raises(KeyboardInterrupt):
        extract(backbone, corpus, unfinished, batch_size=BATCH, progress=Stop(6))
    journal = (unfinished / JOURNAL).read_bytes()

    @settings(max_examples=12)
    @given(cut=st.integers(0, len(journal)), junk=st.binary(max_size=40))
    def holds(cut: int, junk: bytes) -> None:
        store = tmp_path / "store"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(unfinished, store)
        (store / JOURNAL).write_bytes(journal[:cut])
        with (store / "embeddings.partial").open("ab") as file:
            file.write(junk)
        for shard in (store / "shards").iterdir():
            with shard.open("ab") as file:
                file.write(junk)
        extract(backbone, corpus, store, batch_size=BATCH)
        assert files(store) == reference

    holds()


def test_killed_while_finishing(
    backbone: Backbone, corpus: Corpus, tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last batch the tables are written, then the manifest, then the journal goes."""
    from engine.activations import writer

    for victim in ("atomic_path", "write_json"):
        store = tmp_path / victim

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(writer, victim, die)
            with pytest.raises(KeyboardInterrupt):
                extract(backbone, corpus, store, batch_size=BATCH)
        assert not (store / MANIFEST).exists()
        extract(backbone, corpus, store)
        assert files(store) == reference


def test_killed_between_the_manifest_and_the_broom(
    backbone: Backbone, corpus: Corpus, tmp_path: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            extract(backbone, corpus, tmp_path / "store", batch_size=BATCH)
    assert (tmp_path / "store" / JOURNAL).exists()
    extract(backbone, corpus, tmp_path / "store")
    assert files(tmp_path / "store") == reference


SCRIPT = """
import sys
from engine.activations import extract, writer
from engine.backbones import load_backbone
from engine.corpus import open_corpus
writer.SHARD_BYTES = 2 * 3 * 5 * 16 * 4
extract(load_backbone(sys.argv[1], device="cpu"), open_corpus(sys.argv[2]), sys.argv[3], batch_size=3)
"""


@pytest.mark.slow
def test_a_real_kill(
    tiny_model: str, backbone: Backbone, pictures: Pictures, tmp_path: Path, small_shards: None
) -> None:
    corpus = pictures(300, bad=(7, 100))
    extract(backbone, corpus, tmp_path / "reference", batch_size=BATCH)
    store = tmp_path / "store"
    command = [sys.executable, "-c", SCRIPT, tiny_model, str(tmp_path / "corpus"), str(store)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (store / "shards" / "00003.bin").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    extract(backbone, corpus, store)
    assert files(store) == files(tmp_path / "reference")


def test_two_writers_are_one_too_many(backbone: Backbone, corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(backbone, corpus, tmp_path / "store", batch_size=BATCH, progress=Stop(1))
    job = {
        "dtype": "float32",
        "positions": 5,
        "limit": None,
        "batch_size": BATCH,
        "backbone": backbone.spec.to_dict(),
        "corpus": {"hash": corpus.hash},
    }
    with StoreWriter(tmp_path / "store", job), pytest.raises(AtomscopeError, match="Another process is writing"):
        extract(backbone, corpus, tmp_path / "store")


def test_an_unfinished_store_of_another_job_is_refused(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(backbone, pictures(9), tmp_path / "store", batch_size=BATCH, progress=Stop(1))
    kept = files(tmp_path / "store")
    with pytest.raises(InputError, match="begun with batch size 3, not 4"):
        extract(backbone, pictures(9), tmp_path / "store", batch_size=4)
    with pytest.raises(InputError, match="begun with limit None, not 4"):
        extract(backbone, pictures(9), tmp_path / "store", limit=4)
    assert files(tmp_path / "store") == kept


def test_data_lost_with_the_power_is_noticed(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(backbone, pictures(9), tmp_path / "store", batch_size=BATCH, progress=Stop(2))
    os.truncate(tmp_path / "store" / "shards" / "00000.bin", 100)
    with pytest.raises(AtomscopeError, match="shorter than its journal says"):
        extract(backbone, pictures(9), tmp_path / "store")
