"""Two processes extract the store of one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.activations import ActivationStore, writer
from engine.activations import extract as run_extract
from engine.activations.joining import own_batches
from engine.backbones import load_backbone
from engine.corpus import open_corpus
from engine.distributed import Group

SCRIPT = str(Path(__file__).with_name("two_extractions.py"))
ITEM_BYTES = 5 * 16 * 4


@pytest.mark.slow
def test_the_store_is_the_same_to_the_byte(
    image_folder: Path,
    tiny_clip: str,
    torchrun: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (image_folder / "round" / "broken.jpg").write_bytes(b"no picture")
    monkeypatch.setattr(writer, "SHARD_BYTES", 2 * ITEM_BYTES)
    backbone = load_backbone(tiny_clip, -2, "residual", "all", "cpu")
    one = run_extract(backbone, open_corpus(image_folder, None), tmp_path / "one", batch_size=1)
    done = torchrun(SCRIPT, str(image_folder), tiny_clip, str(tmp_path / "two"), str(2 * ITEM_BYTES))
    assert done.returncode == 0, done.stderr
    two = ActivationStore.open(tmp_path / "two")
    two.verify()
    assert len(two.manifest["shards"]) == 4 and two.hash == one.hash
    assert sorted(path.name for path in two.path.iterdir()) == sorted(path.name for path in one.path.iterdir())
    np.testing.assert_array_equal(two.embeddings, one.embeddings)
    for item in range(one.n_items):
        assert two.item(item).equal(one.item(item))


@pytest.mark.parametrize(
    ("batches", "per_shard", "size"), [(7, 2, 2), (7, 2, 3), (3, 2, 2), (40, 7, 4), (1, 1, 3), (8, 4, 2)]
)
def test_parts_cover_all_batches_in_order(batches: int, per_shard: int, size: int) -> None:
    everything: Sequence[list[int]] = [[i] for i in range(batches)]
    parts = [own_batches(everything, per_shard, Group(rank, size)) for rank in range(size)]
    assert [batch for part in parts for batch in part] == everything
    if batches >= per_shard * size:
        assert all(len(part) % per_shard == 0 for part in parts[:-1])
