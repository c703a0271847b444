"""Opening and reading a store: order, shuffling, restart, damage."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.activations import ActivationStore, TokenBatch
from engine.activations.shuffling import ordered, shuffled
from engine.errors import InputError

MakeStore = Callable[..., ActivationStore]


def numbered(items: int, positions: int, width: int = 4) -> np.ndarray:
    """Activations that say which token they are: x[item, position, 0] is the token's id."""
    x = np.zeros((items, positions, width), np.float32)
    x[..., 0] = np.arange(items * positions).reshape(items, positions)
    return x


def read_from(x: np.ndarray) -> Callable[[int, int, int], np.ndarray]:
    return lambda item, first, last: x[item, first:last]


def join(batches: list[TokenBatch]) -> np.ndarray:
    return np.concatenate([batch.tokens.numpy() for batch in batches]) if batches else np.empty(0, np.int64)


@given(
    items=st.integers(1, 12),
    positions=st.integers(1, 9),
    size=st.integers(1, 40),
    start=st.integers(0, 6),
    buffer=st.integers(1, 2000),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_every_token_once_and_any_start(
    items: int, positions: int, size: int, start: int, buffer: int, seed: int, data: st.DataObject
) -> None:
    x = numbered(items, positions)
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, items - 1)))), np.int64)
    expected = (rows[:, None] * positions + np.arange(positions)).ravel()
    ways = {
        "ordered": lambda start: ordered(read_from(x), rows, positions, size, start),
        "shuffled": lambda start: shuffled(
            read_from(x), rows, positions, 4, np.dtype("<f4"), size, (seed, 1), start, buffer_bytes=buffer
        ),
    }
    for name, way in ways.items():
        batches = list(way(0))
        tokens = join(batches)
        assert np.array_equal(tokens if name == "ordered" else np.sort(tokens), expected)
        assert all(len(batch.x) == size for batch in batches[:-1])
        for batch in batches:
            assert batch.x.dtype == torch.float32
            assert torch.equal(batch.x[:, 0].long(), batch.tokens)
        later = list(way(start))
        assert len(later) == max(len(batches) - start, 0)
        assert np.array_equal(join(later), join(batches[start:]))


def test_unshuffled_batches_keep_the_order_of_the_rows() -> None:
    rows = np.array([4, 1, 3])
    tokens = join(list(ordered(read_from(numbered(6, 3)), rows, 3, 4, 0)))
    assert tokens.tolist() == [12, 13, 14, 3, 4, 5, 9, 10, 11]


def test_shuffling_follows_from_seed_and_epoch(make_store: MakeStore) -> None:
    store = make_store(items=40)

    def order(**options: int) -> list[int]:
        return join(list(store.batches(16, shuffle=True, **options))).tolist()

    assert order(seed=3, epoch=2) == order(seed=3, epoch=2)
    orders = [order(), order(seed=1), order(epoch=1), order(seed=1, epoch=1)]
    assert all(one != other for index, one in enumerate(orders) for other in orders[:index])


def test_batches_are_well_mixed() -> None:
    """With a buffer of a twentieth of the tokens, a batch still draws on the whole store.

    Counts of a batch's tokens by block of items are compared with a perfect shuffle: their variance may exceed
    the multinomial one only by the length of a run, since runs of neighbours enter the buffer together.
    """
    items, positions, size = 2000, 50, 1000
    x = numbered(items, positions, width=1)
    way = shuffled(
        read_from(x),
        np.arange(items),
        positions,
        1,
        np.dtype("<f4"),
        size,
        (0, 0),
        0,
        buffer_bytes=4 * items * positions // 20,
    )
    tokens = np.stack([batch.tokens.numpy() for batch in way])
    assert tokens.shape == (100, size)
    blocks = np.stack([np.bincount(row // (positions * 100), minlength=20) for row in tokens])
    # Here a run is a whole picture of 50 tokens and the buffer holds 100 pictures: about 5 a block, 10 tokens each.
    expected = size / 20
    assert abs(blocks.mean() - expected) < 1e-9
    assert blocks.var() < 2 * expected * positions * size / (items * positions / 20)
    # Neighbours in a batch are strangers: hardly any pair comes from one picture.
    same = (tokens[:, 1:] // positions == tokens[:, :-1] // positions).mean()
    assert same < 2 / 100


def test_memory_is_the_buffer_not_the_store() -> None:
    items, positions, width = 400, 20, 64
    x = np.lib.stride_tricks.as_strided(np.zeros(width, np.float32), (items, positions, width), (0, 0, 4))
    tracemalloc.start()
    way = shuffled(
        read_from(x), np.arange(items), positions, width, np.dtype("<f4"), 64, (0, 0), 0, buffer_bytes=100_000
    )
    for _ in way:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert items * positions * width * 4 == 2_048_000
    assert peak < 100_000 + 300_000  # the buffer, one batch with its copy, and the index of runs


def test_rows_and_splits(make_store: MakeStore) -> None:
    store = make_store(items=24)
    assert store.rows().tolist() == list(range(24))
    assert store.rows("validation").tolist() == [16, 17, 18, 19]
    assert store.rows("nowhere").tolist() == []
    assert list(store.batches(4, rows=store.rows("nowhere"), shuffle=True)) == []
    assert store.splits == {"train": 16, "validation": 4, "test": 4}
    tokens = join(list(store.batches(7, rows=store.rows("test"), shuffle=True)))
    assert sorted(tokens) == list(range(20 * 6, 24 * 6))
    with pytest.raises(IndexError):
        store.item(24)


def test_reading_leaves_the_files_alone(make_store: MakeStore) -> None:
    store = make_store()
    store.item(0).zero_()
    for shuffle in (False, True):
        next(store.batches(5, shuffle=shuffle)).x.zero_()
    assert store.item(0).abs().sum() > 0
    store.verify()


def test_faults_are_one_sentence_each(make_store: MakeStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no activation store at"):
        ActivationStore.open(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"is not an activation store \(it has no manifest\.json\)"):
        ActivationStore.open(tmp_path / "folder")

    def manifest_with(name: str, **changes: object) -> Path:
        path = make_store(name).path / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return path.parent

    with pytest.raises(InputError, match=r"has format 2\.0, newer than this Atomscope reads \(1\.x\)"):
        ActivationStore.open(manifest_with("newer", format={"name": "atomscope-activations", "major": 2, "minor": 0}))
    with pytest.raises(InputError, match="describes something else"):
        ActivationStore.open(manifest_with("foreign", format={"name": "atomscope-atlas", "major": 1}))
    with pytest.raises(InputError, match="manifest of .* is damaged"):
        ActivationStore.open(manifest_with("broken", shards=None))
    (make_store("cut").path / "shards" / "00000.bin").write_bytes(b"short")
    with pytest.raises(InputError, match=r"shards/00000\.bin has 5 bytes instead of"):
        ActivationStore.open(tmp_path / "cut")
    (make_store("lost").path / "items.parquet").unlink()
    with pytest.raises(InputError, match=r"items\.parquet is missing"):
        ActivationStore.open(tmp_path / "lost")


def test_a_flipped_bit_is_found(make_store: MakeStore) -> None:
    store = make_store()
    path = store.path / "shards" / "00000.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"shards/00000\.bin has changed"):
        ActivationStore.open(store.path).verify()
