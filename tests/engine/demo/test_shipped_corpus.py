"""The demo corpus that ships is whole, says what it is, and fits together."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from engine.corpus.shards import FORMAT, SCHEMA
from engine.demo.candidates import Candidate
from engine.demo.labels import LABELS
from engine.demo.shards import write_corpus
from engine.demo.sources import SOURCES
from engine.files import read_json, sha256
from engine.paths import DEMO_CORPUS

BYTES_OF_A_SHARD = 20_000_000


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    description: dict[str, Any] = read_json(DEMO_CORPUS / "corpus.json")
    return description


@pytest.fixture(scope="module")
def items(document: dict[str, Any]) -> pd.DataFrame:
    tables = [pq.read_table(DEMO_CORPUS / name) for name in sorted(document["files"])]
    assert all(table.schema.equals(SCHEMA) for table in tables)
    return pd.concat([table.to_pandas() for table in tables], ignore_index=True)


def test_files_are_the_ones_described(document: dict[str, Any], items: pd.DataFrame) -> None:
    assert document["format"] == FORMAT
    assert {path.name for path in DEMO_CORPUS.iterdir()} == {"corpus.json", *document["files"]}
    for name, entry in document["files"].items():
        path: Path = DEMO_CORPUS / name
        assert sha256(path) == entry["sha256"]
        assert path.stat().st_size == entry["bytes"] < BYTES_OF_A_SHARD
    assert document["items"] == len(items) == sum(entry["items"] for entry in document["files"].values())
    assert document["splits"] == items["split"].value_counts().reindex(list(document["splits"])).to_dict()


def test_the_writer_gives_these_shards_again(document: dict[str, Any], items: pd.DataFrame, tmp_path: Path) -> None:
    """Same order, shards, row groups and encoding (the bytes also name the version of pyarrow that wrote them)."""
    shuffled = items.sample(frac=1, random_state=0)
    candidates = [
        Candidate(row.id, Path(), row.caption, row.label, tuple(row.keywords), row.source, row.license, row.credit, "")
        for row in shuffled.itertuples()
    ]
    images, splits = [image["bytes"] for image in shuffled["image"]], shuffled["split"].tolist()
    again = write_corpus(tmp_path / "corpus", candidates, images, splits, document["sources"])
    known = [key for key in document if key != "files"]
    assert list(again) == list(document) and {key: again[key] for key in known} == {key: document[key] for key in known}
    assert list(again["splits"]) == list(document["splits"]) and list(again["files"]) == list(document["files"])
    for name in document["files"]:
        ours, theirs = pq.ParquetFile(tmp_path / "corpus" / name), pq.ParquetFile(DEMO_CORPUS / name)
        assert ours.read().equals(theirs.read(), check_metadata=True)
        groups, expected = (file.metadata.row_group for file in (ours, theirs))
        assert ours.num_row_groups == theirs.num_row_groups and groups(0).num_rows == expected(0).num_rows
        for column in range(groups(0).num_columns):
            assert groups(0).column(column).compression == expected(0).column(column).compression
            assert groups(0).column(column).encodings == expected(0).column(column).encodings


def test_sources_are_the_pinned_ones(document: dict[str, Any], items: pd.DataFrame) -> None:
    assert document["sources"] == [source.to_dict() for source in SOURCES]
    assert set(items["source"]) <= {source.package for source in SOURCES}


def test_every_item_says_what_it_is(items: pd.DataFrame) -> None:
    assert items["id"].is_unique
    for column in ("caption", "label", "license", "source"):
        assert (items[column].str.strip() != "").all(), column
    assert set(items["label"]) == set(LABELS)  # no label unknown, none without a picture
    assert items["caption"].str.match(r"[A-Z].*[.!?]$").all()
    assert not items["caption"].str.contains(r"[_#<>&]|\b(?:svg|png|bw)\b|  ", regex=True).any()
    assert items["caption"].str.len().between(4, 120).all()
    credited = items[items["source"] != "openclipart-png"]
    assert (credited["credit"].str.strip() != "").all()
    assert all(keyword == keyword.lower() for row in items["keywords"] for keyword in row)


def test_a_source_item_stays_in_one_split(items: pd.DataFrame) -> None:
    photograph = items["id"].str.replace(r"#.*$", "", regex=True)  # crops of one photograph differ after the #
    assert items.groupby(photograph)["split"].nunique().max() == 1
    faces = items[items["id"].str.startswith("emoji/1f46")]  # one trade, two genders: the same last code point
    trade = faces["id"].str.extract(r"-200d-([0-9a-f]+)")[0]
    assert faces.groupby(trade)["split"].nunique().max() == 1


def test_splits_have_their_shares(items: pd.DataFrame) -> None:
    share = items["split"].value_counts(normalize=True)
    assert share["train"] == pytest.approx(0.75, abs=0.02)
    assert share["test"] == pytest.approx(0.17, abs=0.02)
    assert (items["split"] == "test").sum() >= 600
    for _, big in items.groupby("label"):
        if len(big) >= 40:
            assert {"train", "test"} <= set(big["split"])
            assert 0.08 < (big["split"] == "test").mean() < 0.30


def test_pictures_decode(items: pd.DataFrame) -> None:
    for row in items.itertuples():
        with Image.open(io.BytesIO(row.image["bytes"])) as picture:  # type: ignore[attr-defined]
            assert (picture.format, picture.size) == ("WEBP", (224, 224)), row.id
            picture.draft(None, None)
            assert picture.convert("RGB").getextrema() != ((255, 255),) * 3, row.id
