"""Data sets as Hugging Face's datasets library writes them: Parquet with an Image column, and save_to_disk."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from engine.corpus import UnreadableItem, open_corpus
from engine.corpus.huggingface import image_column
from engine.errors import InputError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    "text": {"dtype": "string", "_type": "Value"},
    "tags": {"feature": {"names": ["small", "large"], "_type": "ClassLabel"}, "_type": "List"},
}


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def table(count: int, features: dict[str, Any] | None = FEATURES, first: int = 0, **columns: Any) -> pa.Table:
    numbers = range(first, first + count)
    made = pa.table(
        {
            "image": pa.array([{"bytes": picture(n), "path": f"{n}.png"} for n in numbers], IMAGE),
            "label": pa.array([n % 3 - 1 for n in numbers], pa.int64()),
            "text": [f"number {n}" for n in numbers],
            "tags": pa.array([[n % 2] for n in numbers], pa.list_(pa.int64())),
        }
        | columns
    )
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features is not None else None
    return made.replace_schema_metadata(metadata)


def save_to_disk(data: pa.Table, folder: Path, shards: int = 2, split: str | None = None, stream: bool = True) -> None:
    """What ``Dataset.save_to_disk`` leaves: Arrow streams, ``state.json``, ``dataset_info.json``."""
    folder.mkdir(parents=True)
    size = -(-len(data) // shards)
    names = [f"data-{shard:05d}-of-{shards:05d}.arrow" for shard in range(shards)]
    for shard, name in enumerate(names):
        part = data.slice(shard * size, size)
        write = pa.ipc.new_stream if stream else pa.ipc.new_file
        with pa.OSFile(str(folder / name), "wb") as sink, write(sink, part.schema) as writer:
            writer.write_table(part, max_chunksize=2)
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": name} for name in names], "_split": split})
    )
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


def test_a_folder_of_parquet_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(table(5), tmp_path / "data" / "train-00000-of-00002.parquet", row_group_size=2)
    pq.write_table(table(2, first=5), tmp_path / "data" / "train-00001-of-00002.parquet")
    pq.write_table(table(3, first=7), tmp_path / "data" / "test-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text("# data")
    corpus = open_corpus(tmp_path)
    assert corpus.splits == {"test": 3, "train": 7}
    assert list(corpus.items["id"][:4]) == ["test/0000000", "test/0000001", "test/0000002", "train/0000000"]
    assert corpus.items["caption"][0] == "number 7"
    numbers = [7, 8, 9, 0, 1, 2, 3, 4, 5, 6]
    assert list(corpus.items["label"]) == [["", "cat", "dog"][n % 3] for n in numbers]  # -1 is "not labelled"
    assert list(corpus.items["keywords"]) == [[["small", "large"][n % 2]] for n in numbers]
    assert [corpus.load(item).getpixel((0, 0)) for item in range(10)] == [(n, 0, 0) for n in numbers]


def test_one_parquet_file_and_folders_as_splits(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        (tmp_path / "default" / split).mkdir(parents=True)
        pq.write_table(table(2), tmp_path / "default" / split / "0000.parquet")
    assert open_corpus(tmp_path).splits == {"train": 2, "validation": 2}
    single = open_corpus(tmp_path / "default" / "train" / "0000.parquet")
    assert len(single) == 2 and single.name == "0000"


def test_without_features_the_numbers_stand(tmp_path: Path) -> None:
    pq.write_table(table(2, features=None), tmp_path / "x.parquet")
    assert list(open_corpus(tmp_path).items["label"]) == ["-1", "0"]
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    assert list(open_corpus(tmp_path).items["label"]) == ["", "cat"]
    (tmp_path / "dataset_info.json").write_text("[]")
    assert list(open_corpus(tmp_path).items["label"]) == ["-1", "0"]


def test_own_ids_are_kept_if_they_are_clean_and_unique(tmp_path: Path) -> None:
    pq.write_table(table(3, id=["a", "b/c", "d"]), tmp_path / "x.parquet")
    assert list(open_corpus(tmp_path).items["id"]) == ["a", "b/c", "d"]
    for ids in (["a", "a", "b"], ["../../a", "b", "c"], ["", "b", "c"]):
        pq.write_table(table(3, id=ids), tmp_path / "x.parquet")
        assert list(open_corpus(tmp_path).items["id"]) == [f"rows/{n:07d}" for n in range(3)]


@pytest.mark.parametrize("stream", [True, False])
def test_a_saved_dataset(tmp_path: Path, stream: bool) -> None:
    save_to_disk(table(7), tmp_path / "saved", shards=3, split="train", stream=stream)
    corpus = open_corpus(tmp_path / "saved")
    assert corpus.name == "saved" and corpus.splits == {"train": 7}
    assert [corpus.load(item).getpixel((0, 0)) for item in range(7)] == [(n, 0, 0) for n in range(7)]
    assert list(corpus.items["label"]) == [["", "cat", "dog"][n % 3] for n in range(7)]


def test_a_saved_dataset_dict(tmp_path: Path) -> None:
    save_to_disk(table(4, features=None), tmp_path / "train", split="train")
    save_to_disk(table(2, first=4), tmp_path / "validation", shards=1)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    corpus = open_corpus(tmp_path)
    assert corpus.splits == {"train": 4, "validation": 2}
    assert corpus.items["label"][1] == "cat"  # the names come from dataset_info.json here
    assert corpus.load(5).getpixel((0, 0)) == (5, 0, 0)
    assert corpus.items["id"][4] == "validation/0000000"


def test_the_hash_sees_the_data(tmp_path: Path) -> None:
    hashes = set()
    for name, data in {"a": table(3), "b": table(3), "c": table(3, first=1)}.items():
        (tmp_path / name).mkdir()
        pq.write_table(data, tmp_path / name / "x.parquet")
        hashes.add(open_corpus(tmp_path / name).hash)
    assert len(hashes) == 2


def test_images_beside_the_table_are_read_those_elsewhere_are_not(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture(9))
    root = tmp_path / "data"
    root.mkdir()
    (root / "here.png").write_bytes(picture(7))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    paths = ["here.png", "../secret.png", str(tmp_path / "secret.png"), "link.png", "nowhere.png", None]
    rows = [{"bytes": None, "path": path} for path in paths]
    pq.write_table(pa.table({"image": pa.array(rows, IMAGE)}), root / "x.parquet")
    corpus = open_corpus(root)
    assert corpus.load(0).getpixel((0, 0)) == (7, 0, 0)
    for item in range(1, 5):
        with pytest.raises(UnreadableItem, match="which is not in"):
            corpus.load(item)
    with pytest.raises(UnreadableItem, match="There is no image in row 5"):
        corpus.load(5)


@pytest.mark.parametrize(
    ("schema", "column"),
    [
        ({"image": IMAGE, "thumb": IMAGE}, "image"),
        ({"thumb": IMAGE, "img": IMAGE}, "img"),
        ({"x": IMAGE}, "x"),
        ({"jpg": pa.binary(), "txt": pa.string()}, "jpg"),
        ({"image": pa.struct([("bytes", pa.large_binary())])}, "image"),
        ({"image": pa.string(), "blob": pa.binary()}, None),
        ({"image": pa.struct([("height", pa.int32())])}, None),
    ],
)
def test_the_image_column_is_found(schema: dict[str, pa.DataType], column: str | None) -> None:
    assert image_column(pa.schema(list(schema.items()))) == column


def test_a_caption_table_in_an_image_folder_is_no_data_set(image_folder: Path) -> None:
    (image_folder / "captions.csv").unlink()
    rows = {"file_name": ["round/0.jpg"], "caption": ["from a table"]}
    pq.write_table(pa.table(rows), image_folder / "metadata.parquet")
    corpus = open_corpus(image_folder)
    assert len(corpus) == 6 and corpus.items["caption"][0] == "from a table"


def test_what_cannot_be_read_gets_one_sentence(tmp_path: Path) -> None:
    def refused(path: Path, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence) as refusal:
            open_corpus(path)
        assert "\n" not in str(refusal.value)

    single = tmp_path / "x.parquet"
    single.write_bytes(b"PAR1 nothing")
    refused(single, "is not valid Parquet")
    pq.write_table(pa.table({"words": ["a"]}), single)
    refused(single, "has no image column .* its columns: words")
    pq.write_table(table(0), single)
    refused(single, "has no rows")
    single.unlink()

    saved = tmp_path / "saved"
    save_to_disk(table(4), saved)
    arrow = saved / "data-00000-of-00002.arrow"
    whole = arrow.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", bytes(200)):
        arrow.write_bytes(damage)
        refused(saved, re.escape(f"{arrow} is not a valid Arrow file"))
    arrow.write_bytes(whole)
    for name in ("../data.arrow", "/etc/passwd", "missing.arrow", 7, None):
        (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        refused(saved, "lists the file .* which is not in the folder")
    (saved / "state.json").write_text("{}")
    refused(saved, "lists no data files")
    for splits in (["../saved"], [], None, [3]):
        (saved / "dataset_dict.json").write_text(json.dumps({"splits": splits}))
        refused(saved, "does not list its splits")
