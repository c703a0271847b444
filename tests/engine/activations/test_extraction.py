"""What a store holds after extraction: the model's own numbers, every item accounted for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.activations import ActivationStore, extract
from engine.activations.batch_size import fit_batch_size
from engine.backbones import Backbone
from engine.corpus import Corpus, open_corpus
from engine.errors import AtomscopeError, InputError
from engine.progress import SilentProgress

Pictures = Callable[..., Corpus]


def test_the_store_holds_what_the_model_says(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    corpus = pictures(7)
    store = extract(backbone, corpus, tmp_path / "store", batch_size=3)
    assert (store.n_items, store.n_positions, store.d_model, store.n_tokens) == (7, 5, 16, 35)
    assert (store.dtype, store.splits, store.corpus["hash"]) == ("float32", {"": 7}, corpus.hash)
    assert store.backbone == backbone.spec.to_dict()
    assert store.items["label"].tolist() == corpus.items["label"].tolist()
    for row in range(7):
        output = backbone.run(backbone.preprocess([corpus.load(row)]))
        torch.testing.assert_close(store.item(row), output.activations[0])
        np.testing.assert_allclose(store.embeddings[row], output.embeddings[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(store.embeddings, axis=1), 1, rtol=1e-6)
    store.verify()


def test_unreadable_pictures_are_reported_and_left_out(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    corpus = pictures(9, bad=(0, 5))
    progress = SilentProgress()
    store = extract(backbone, corpus, tmp_path / "store", batch_size=2, progress=progress)
    ids = corpus.items["id"].tolist()
    lost = [ids.index("even/000.png"), ids.index("odd/005.png")]
    assert [entry["corpus_index"] for entry in store.manifest["skipped"]] == lost
    assert all(entry["id"] in entry["reason"] for entry in store.manifest["skipped"])
    assert len(progress.warnings) == 2
    kept = [index for index in range(9) if index not in lost]
    assert store.items["corpus_index"].tolist() == kept
    assert store.items["id"].tolist() == [ids[index] for index in kept]
    torch.testing.assert_close(store.item(6), backbone.run(backbone.preprocess([corpus.load(kept[6])])).activations[0])


def test_a_picture_whose_range_is_guessed_is_reported_once(backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for index in range(5):
        Image.fromarray(np.full((32, 32), 300 + index, np.float32)).save(tmp_path / "photos" / f"{index}.tif")
    progress = SilentProgress()
    store = extract(backbone, open_corpus(tmp_path / "photos"), tmp_path / "store", batch_size=2, progress=progress)
    assert store.n_items == 5 and len(progress.warnings) == 1
    assert "a floating-point 32-bit TIFF that states no range of values" in progress.warnings[0]


def test_a_whole_batch_and_a_whole_shard_may_be_unreadable(
    backbone: Backbone, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.activations.writer.SHARD_BYTES", 2 * 5 * 16 * 4)  # one batch a shard
    corpus = pictures(8, bad=(0, 2))  # the first batch: sorted by folder, even numbers come first
    store = extract(backbone, corpus, tmp_path / "store", batch_size=2)
    assert [shard["items"] for shard in store.manifest["shards"]] == [2, 2, 2]
    assert store.items["corpus_index"].tolist() == [2, 3, 4, 5, 6, 7]
    store.verify()


def test_float16_is_rounded_and_half_the_size(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    corpus = pictures(4)
    full = extract(backbone, corpus, tmp_path / "full", batch_size=4)
    half = extract(backbone, corpus, tmp_path / "half", dtype="float16", batch_size=4)
    assert half.manifest["shards"][0]["bytes"] * 2 == full.manifest["shards"][0]["bytes"]
    assert half.item(2).dtype == torch.float32
    assert torch.equal(half.item(2), full.item(2).half().float())
    batch = next(half.batches(7, shuffle=True))
    assert batch.x.dtype == torch.float32
    assert half.hash != full.hash


def test_float16_overflow_is_refused(pictures: Pictures, tmp_path: Path, tiny_model: str) -> None:
    from engine.backbones import load_backbone

    model = load_backbone(tiny_model, device="cpu")
    bias = dict(model.model.named_parameters())["vision_model.encoder.layers.0.mlp.fc2.bias"]
    bias[3] = 1e5
    with pytest.raises(AtomscopeError, match=r"even/000\.png is not a finite float16\. .*--dtype float32"):
        extract(model, pictures(3), tmp_path / "half", dtype="float16")
    extract(model, pictures(3), tmp_path / "full", dtype="float32")
    bias[3] = torch.inf
    with pytest.raises(AtomscopeError, match="The model overflows"):
        extract(model, pictures(3), tmp_path / "infinite")


def test_limit_spreads_over_the_corpus(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    corpus = pictures(20)
    store = extract(backbone, corpus, tmp_path / "store", limit=5)
    assert store.items["corpus_index"].tolist() == [0, 4, 8, 12, 16]
    assert set(store.items["label"]) == {"even", "odd"}
    assert extract(backbone, corpus, tmp_path / "more", limit=99).n_items == 20


def test_shards_hold_whole_items(
    backbone: Backbone, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extract(backbone, pictures(11), tmp_path / "one", batch_size=2)
    monkeypatch.setattr("engine.activations.writer.SHARD_BYTES", 5 * 5 * 16 * 4)  # five items: two batches of two fit
    store = extract(backbone, pictures(11), tmp_path / "many", batch_size=2)
    assert [shard["items"] for shard in store.manifest["shards"]] == [4, 4, 3]
    for row in range(11):
        assert torch.equal(store.item(row), whole.item(row))


def test_the_number_of_cores_changes_nothing(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = extract(backbone, pictures(10), tmp_path / "one", batch_size=3)
        torch.set_num_threads(4)
        four = extract(backbone, pictures(10), tmp_path / "four", batch_size=3)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)
    assert one.hash == four.hash


def test_nothing_to_read(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"None of the 2 images of corpus can be read: even/000\.png"):
        extract(backbone, pictures(2, bad=(0, 1)), tmp_path / "store")
    texts = tmp_path / "texts.txt"
    texts.write_text("one\ntwo\n")
    from engine.corpus import open_corpus

    with pytest.raises(InputError, match="has no images"):
        extract(backbone, open_corpus(texts), tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dtype": "int4"}, "Unknown dtype 'int4'; choose one of: float32, float16"),
        ({"limit": 0}, "--limit must be at least 1"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
    ],
)
def test_wrong_options(
    options: dict[str, Any], sentence: str, backbone: Backbone, pictures: Pictures, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        extract(backbone, pictures(2), tmp_path / "store", **options)
    assert not (tmp_path / "store").exists()


def test_a_folder_that_is_something_else(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    corpus = pictures(2)
    with pytest.raises(InputError, match="holds other files"):
        extract(backbone, corpus, tmp_path / "corpus")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; -o wants a folder"):
        extract(backbone, corpus, tmp_path / "file")


def test_a_finished_store_is_opened_or_refused(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    store = extract(backbone, pictures(4), tmp_path / "store", batch_size=2)
    before = (tmp_path / "store" / "manifest.json").stat().st_mtime_ns
    again = extract(backbone, pictures(4), tmp_path / "store")  # the batch size it has is as good as any
    assert isinstance(again, ActivationStore)
    assert again.hash == store.hash
    assert (tmp_path / "store" / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="was begun with dtype float32, not float16"):
        extract(backbone, pictures(4), tmp_path / "store", dtype="float16")
    with pytest.raises(InputError, match="was begun with batch size 2, not 4"):
        extract(backbone, pictures(4), tmp_path / "store", batch_size=4)
    with pytest.raises(InputError, match="another corpus"):
        extract(backbone, pictures(5), tmp_path / "store")


def test_another_layer_is_refused(tiny_model: str, pictures: Pictures, tmp_path: Path) -> None:
    from engine.backbones import load_backbone

    extract(load_backbone(tiny_model, -2, device="cpu"), pictures(2), tmp_path / "store")
    extract(
        load_backbone(tiny_model, 1, device="cpu"), pictures(2), tmp_path / "store"
    )  # the same layer, counted from 0
    with pytest.raises(InputError, match="was begun with layer 1, not 2"):
        extract(load_backbone(tiny_model, -1, device="cpu"), pictures(2), tmp_path / "store")


def test_the_hash_names_the_content_not_the_place(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    one = extract(backbone, pictures(3, name="corpus"), tmp_path / "one")
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "corpus").rename(tmp_path / "moved" / "corpus")
    from engine.corpus import open_corpus

    two = extract(backbone, open_corpus(moved), tmp_path / "two")
    assert one.corpus["path"] != two.corpus["path"]
    assert one.hash == two.hash


def test_a_full_disk_is_one_sentence(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "store" / "shards").mkdir(parents=True)
    (tmp_path / "store" / "journal.jsonl").touch()
    (tmp_path / "store" / "shards" / "00000.bin").symlink_to("/dev/full")
    with pytest.raises(AtomscopeError, match="No space left while writing"):
        extract(backbone, pictures(3), tmp_path / "store")


def test_too_small_a_disk_is_said_at_the_start(
    backbone: Backbone, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(AtomscopeError, match=r"needs 0\.0 GB and its disk has 0\.0 GB free.*--dtype float16"):
        extract(backbone, pictures(3), tmp_path / "store")


def test_a_folder_that_cannot_be_written(backbone: Backbone, pictures: Pictures) -> None:
    if not Path("/sys/kernel").is_dir():
        pytest.skip("no folder here that even root cannot write")
    with pytest.raises(AtomscopeError, match="Cannot write /sys/kernel/atomscope"):
        extract(backbone, pictures(2), "/sys/kernel/atomscope")


def test_batches_shrink_with_memory(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for available in (None, 10**9, 100_000, 1):
        monkeypatch.setattr("engine.activations.batch_size.available_memory", lambda available=available: available)
        sizes.append(fit_batch_size(backbone))
    assert sizes[:2] == [16, 16]
    assert sizes[1] > sizes[2] > sizes[3] == 1


class Meanwhile(SilentProgress):
    """Does something once, after the first batch."""

    def __init__(self, deed: Callable[[], object]) -> None:
        super().__init__()
        self.deed: Callable[[], object] | None = deed
        self.reports = 0

    def advance(self, count: int = 1, note: str = "") -> None:
        self.reports += 1
        if self.reports == 2 and self.deed is not None:
            self.deed()


def test_a_picture_changed_meanwhile_is_noticed(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    corpus = pictures(12)
    last = tmp_path / "corpus" / "odd" / "011.png"
    progress = Meanwhile(lambda: shutil.copy(tmp_path / "corpus" / "odd" / "001.png", last))
    with pytest.raises(AtomscopeError, match="corpus was changed while it was being read"):
        extract(backbone, corpus, tmp_path / "store", batch_size=2, progress=progress)
    with pytest.raises(InputError, match="is not finished"):
        ActivationStore.open(tmp_path / "store")


def test_shards_rebuilt_meanwhile_are_not_read(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    """Rows are known by number: the same row of a rebuilt shard is another picture under the old one's caption."""
    from engine.corpus import open_corpus
    from engine.corpus.shard_writer import write_parquet_corpus

    source = pictures(12)
    rows = [{"id": f"item-{index}", "image": source.image_bytes(index)} for index in range(12)]
    write_parquet_corpus(tmp_path / "shards", "shards", rows, shard_bytes=1)  # one picture a shard
    progress = Meanwhile(lambda: write_parquet_corpus(tmp_path / "shards", "shards", rows[::-1], shard_bytes=1))
    with pytest.raises(InputError, match="was replaced while it was being read"):
        extract(backbone, open_corpus(tmp_path / "shards"), tmp_path / "store", batch_size=2, progress=progress)
