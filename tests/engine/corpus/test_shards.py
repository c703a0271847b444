"""Our Parquet shards: what is written is read, and FORMAT.md holds for both."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.corpus import UnreadableItem, open_corpus
from engine.corpus.items import id_fault
from engine.corpus.shard_writer import GROUP_ROWS, write_parquet_corpus
from engine.corpus.shards import FORMAT, SCHEMA, validate_corpus
from engine.errors import InputError


def picture(number: int) -> bytes:
    import io

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (number % 256, number // 256, 0)).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "image": picture(number),
            "id": f"some/{number:04d}",
            "caption": f"picture {number}",
            "label": "odd" if number % 2 else "even",
            "keywords": ["colour", str(number)],
            "source": "made up",
            "license": "CC0-1.0",
            "credit": "nobody",
            "split": ("train", "train", "val", "test")[number % 4],
        }
        for number in range(count)
    ]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """200 pictures in several shards, the last of which is not full."""
    return write_parquet_corpus(tmp_path / "corpus", "Numbers", rows(200), [{"name": "made up"}], shard_bytes=2_500)


@pytest.fixture
def manifest(corpus: Path) -> Callable[..., None]:
    """``manifest(key=value, ...)`` overwrites keys of ``corpus.json``."""

    def change(**keys: Any) -> None:
        path = corpus / "corpus.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | keys))

    return change


def test_what_is_written_is_read(corpus: Path) -> None:
    opened = open_corpus(corpus)
    assert opened.name == "Numbers" and len(opened) == 200 and opened.warnings == []
    assert opened.splits == {"train": 100, "validation": 50, "test": 50}
    for number, row in enumerate(rows(200)):
        item = opened.items.iloc[number]
        assert [item[key] for key in ("id", "caption", "label", "keywords", "source", "license", "credit")] == [
            row[key] for key in ("id", "caption", "label", "keywords", "source", "license", "credit")
        ]
        assert opened.image_bytes(number) == row["image"]
    assert opened.load(130).getpixel((0, 0)) == (130, 0, 0)
    assert opened.load(3).size == (16, 16)  # back to the first shard
    with pytest.raises(IndexError):
        opened.load(200)


def test_files_are_as_the_format_page_says(corpus: Path) -> None:
    document = json.loads((corpus / "corpus.json").read_text())
    assert document["format"] == FORMAT and document["items"] == 200
    assert len(document["files"]) > 2
    for name, stated in document["files"].items():
        file = pq.ParquetFile(corpus / name)
        assert file.schema_arrow.equals(SCHEMA) and file.metadata.num_rows == stated["items"]
        assert all(file.metadata.row_group(g).num_rows <= GROUP_ROWS for g in range(file.metadata.num_row_groups))
        features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
        assert features["image"] == {"_type": "Image"} and list(features) == SCHEMA.names
        assert list(pd.read_parquet(corpus / name)["image"][0]) == ["bytes", "path"]
    page = (Path(__file__).parents[3] / "engine" / "corpus" / "FORMAT.md").read_text()
    for column in SCHEMA.names:
        assert re.search(rf"^\| .*`{column}`.* \|", page, re.M), column


def test_writing_twice_gives_the_same_bytes_and_hash(corpus: Path, tmp_path: Path) -> None:
    again = write_parquet_corpus(
        tmp_path / "again", "Numbers", iter(rows(200)), [{"name": "made up"}], shard_bytes=2_500
    )
    for file in corpus.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()
    assert open_corpus(again).hash == open_corpus(corpus).hash
    other = write_parquet_corpus(tmp_path / "other", "Numbers", [*rows(199), rows(201)[200]], shard_bytes=2_500)
    assert open_corpus(other).hash != open_corpus(corpus).hash


def test_a_sound_corpus_has_no_faults(corpus: Path) -> None:
    assert validate_corpus(corpus) == []


def test_a_newer_major_version_is_refused_a_newer_minor_is_read(corpus: Path, manifest: Callable[..., None]) -> None:
    manifest(format=FORMAT | {"minor": 7})
    assert len(open_corpus(corpus)) == 200
    manifest(format=FORMAT | {"major": 2})
    with pytest.raises(InputError, match="has format 2, this Atomscope reads up to 1: update Atomscope"):
        open_corpus(corpus)
    assert len(validate_corpus(corpus)) == 1


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"format": {"name": "other", "major": 1}}, "does not describe an Atomscope corpus"),
        ({"format": "1.0"}, "does not describe an Atomscope corpus"),
        ({"files": {}}, "lacks its name or its list of files"),
        ({"name": None}, "lacks its name or its list of files"),
        ({"files": {"../../etc/passwd.parquet": {}}}, "not the plain name of a Parquet shard"),
        ({"files": {"data-00000.parquet": 7}}, "not the plain name of a Parquet shard"),
        ({"files": {"data-99999.parquet": {}}}, "lacks its shard data-99999.parquet"),
        ({"files": {"data-00000.parquet": {"bytes": 1}}}, "bytes, corpus.json says 1: copy the corpus again"),
        ({"items": 7}, "its shards hold 200 items, corpus.json states 7"),
        ({"splits": {"train": 200}}, "its splits are"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    corpus: Path, manifest: Callable[..., None], keys: dict[str, Any], sentence: str
) -> None:
    manifest(**keys)
    with pytest.raises(InputError, match=sentence):
        open_corpus(corpus)
    assert validate_corpus(corpus)


def test_a_split_without_items_may_be_stated(tmp_path: Path) -> None:
    path = write_parquet_corpus(tmp_path / "c", "c", [{"image": picture(1), "id": "a"}])
    document = json.loads((path / "corpus.json").read_text())
    (path / "corpus.json").write_text(json.dumps(document | {"splits": document["splits"] | {"train": 0}}))
    assert open_corpus(path).splits == {"": 1}


def test_a_manifest_that_is_no_json(corpus: Path) -> None:
    (corpus / "corpus.json").write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        open_corpus(corpus)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


def test_a_flipped_bit_in_a_picture_is_met_by_its_checksum(corpus: Path) -> None:
    path = corpus / "data-00001.parquet"
    flip(path, path.read_bytes().index(b"RIFF") + 40)
    opened = open_corpus(corpus)
    first = json.loads((corpus / "corpus.json").read_text())["files"]["data-00000.parquet"]["items"]
    with pytest.raises(UnreadableItem, match=r"data-00001.parquet is damaged"):
        opened.load(first)
    assert opened.load(0)
    assert validate_corpus(corpus) == [
        "data-00001.parquet does not have the bytes and the sha256 that corpus.json states."
    ]


def test_a_cut_shard_and_a_damaged_footer_are_refused_at_once(corpus: Path) -> None:
    path = corpus / "data-00001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match="copy the corpus again"):
        open_corpus(corpus)
    path.write_bytes(whole[:-100] + bytes(100))
    with pytest.raises(InputError, match="data-00001.parquet is damaged"):
        open_corpus(corpus)
    path.unlink()
    assert validate_corpus(corpus) == ["data-00001.parquet is missing."]


def test_a_picture_that_cannot_be_decoded_is_a_fault(tmp_path: Path) -> None:
    path = write_parquet_corpus(
        tmp_path / "c", "c", [{"image": b"no picture", "id": "a"}, {"image": picture(1), "id": "b"}]
    )
    assert validate_corpus(path, images=False) == []
    (fault,) = validate_corpus(path)
    assert fault.startswith("a is a text file")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"id": "../a"}, "The id '../a' has an empty part"),
        ({"id": ""}, "is empty"),
        ({"id": "some/0000"}, "occurs twice"),
        ({"id": "a", "image": "a.png"}, "is not bytes"),
        ({"id": "a", "split": "holdout"}, "split of a is 'holdout'"),
    ],
)
def test_unfit_rows_are_refused_and_leave_nothing(tmp_path: Path, row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        write_parquet_corpus(tmp_path / "c", "c", [*rows(1), {"image": picture(0)} | row])
    assert list(tmp_path.iterdir()) == []


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no item to write"):
        write_parquet_corpus(tmp_path / "c", "c", [])


def test_hostile_ids_of_a_foreign_writer_are_refused(corpus: Path, manifest: Callable[..., None]) -> None:
    path = corpus / "data-00000.parquet"
    table = pq.read_table(path)
    ids = ["../../x", *table["id"].to_pylist()[1:]]
    pq.write_table(table.set_column(1, "id", [ids]), path)
    files = json.loads((corpus / "corpus.json").read_text())["files"]
    files["data-00000.parquet"]["bytes"] = path.stat().st_size
    manifest(files=files)
    with pytest.raises(InputError, match=re.escape("the id '../../x' has an empty part, '.' or '..' in its path")):
        open_corpus(corpus)


def test_a_caption_file_does_not_go_with_shards(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("file_name,caption\n")
    with pytest.raises(InputError, match="brings its own captions"):
        open_corpus(corpus, tmp_path / "c.csv")


clean_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(str.strip)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"image": st.binary(min_size=1, max_size=50), "id": clean_text.filter(lambda s: id_fault(s) is None)},
            optional={
                "caption": clean_text,
                "label": clean_text,
                "keywords": st.lists(clean_text.filter(bool), max_size=3, unique=True),
                "split": st.sampled_from(["train", "validation", "test", ""]),
            },
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row["id"],
    ),
    st.integers(1, 200),
)
def test_any_rows_survive_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, given_rows: list[dict[str, Any]], shard_bytes: int
) -> None:
    path = write_parquet_corpus(tmp_path_factory.mktemp("c") / "c", "c", given_rows, shard_bytes=shard_bytes)
    opened = open_corpus(path)
    assert [opened.image_bytes(number) for number in range(len(opened))] == [row["image"] for row in given_rows]
    for column, blank in (("id", ""), ("caption", ""), ("label", ""), ("split", ""), ("keywords", [])):
        assert list(opened.items[column]) == [row.get(column, blank) for row in given_rows]
    assert validate_corpus(path, images=False) == []
