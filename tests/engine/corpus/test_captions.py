"""Captions files: their formats, many names for the columns, and one sentence for each that cannot be parsed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.corpus.captions import is_captions_file, read_captions
from engine.corpus.items import captions_of, id_fault, keyword_list, split_name, text
from engine.corpus.tables import recognise
from engine.errors import InputError

TABLE = {
    "File Name": ["a.jpg", "b/c.png"],
    "text": ['He said "hi", twice', "ein Gruß\naus zwei Zeilen"],
    "class": ["cat", "dog"],
    "subset": ["val", "train"],
    "tags": ["red;  blue;red", "one, two"],
    "other": ["1", "2"],
}


def write(path: Path) -> Path:
    frame = pd.DataFrame(TABLE)
    if path.suffix in (".csv", ".tsv"):
        frame.to_csv(path, index=False, sep="," if path.suffix == ".csv" else "\t", encoding="utf-8-sig")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")) + "\n\n", "utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
def test_every_format_reads_the_same(tmp_path: Path, suffix: str) -> None:
    first, second = read_captions(write(tmp_path / f"captions{suffix}"))
    assert (first.file, second.file) == ("a.jpg", "b/c.png")
    assert first.known == {
        "caption": 'He said "hi", twice',
        "label": "cat",
        "split": "validation",
        "keywords": ["red", "blue"],
    }
    assert second.known["caption"] == "ein Gruß\naus zwei Zeilen"
    assert second.known["keywords"] == ["one", "two"]


def test_semicolons_of_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('filename;caption\na.jpg;"one; two, three"\n')
    assert read_captions(tmp_path / "c.csv")[0].known["caption"] == "one; two, three"


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("c.csv", b"file_name,caption\na.jpg,one, two\n", "line 2: 3 fields, but the header has 2"),
        ("c.csv", b'file_name,caption\na.jpg,"never closed\nb.jpg,x\n', "not valid CSV"),
        ("c.csv", b"file_name,caption\n" + b"a" * 200_000 + b",x\n", "not valid CSV .*field"),
        ("c.csv", b"", r"no column that names the images: call it file_name \(it is empty\)"),
        ("c.csv", b"caption,label\nx,y\n", r"call it file_name \(its columns: caption, label\)"),
        ("c.csv", "file_name,caption\na.jpg,Grüße\n".encode("latin-1"), "not UTF-8 text"),
        ("c.csv", "file_name,caption\na.jpg,x\n".encode("utf-16"), "not UTF-8 text"),
        ("c.jsonl", b'{"file_name": "a.jpg"}\n{"file_name": \n', "line 2: not a JSON object"),
        ("c.jsonl", b'["a.jpg", "x"]\n', "line 1: not a JSON object"),
        ("c.jsonl", b"[" * 100_000, "line 1: not a JSON object"),
        ("c.parquet", b"PAR1 and no more", "not valid Parquet"),
        ("c.parquet", b"", "not valid Parquet"),
        ("c.xlsx", b"PK", "is no caption file"),
    ],
)
def test_a_file_that_cannot_be_parsed_gets_one_sentence(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=sentence) as refusal:
        read_captions(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_short_rows_and_missing_keys_are_blank(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("file_name,caption,label\na.jpg\n\nb.jpg,x\n")
    assert [row.known for row in read_captions(tmp_path / "c.csv")] == [
        {"caption": "", "label": ""},
        {"caption": "x", "label": ""},
    ]
    (tmp_path / "c.jsonl").write_text(
        '{"file_name": "a.jpg", "label": null}\n{"file_name": "b.jpg", "caption": ["x", "y"]}\n'
    )
    assert [row.known for row in read_captions(tmp_path / "c.jsonl")] == [
        {"caption": "", "label": ""},
        {"caption": "x", "label": ""},
    ]


def test_a_row_must_reach_what_is_needed(tmp_path: Path) -> None:
    """Of a benchmark's file, every row must have its caption; a picture without one is no row of it."""
    (tmp_path / "c.csv").write_text("file_name,caption,label\na.jpg,x\n\nb.jpg\n")
    with pytest.raises(InputError, match=r"c\.csv, line 4: 1 fields, but the header has 3"):
        read_captions(tmp_path / "c.csv", needed=("caption",))
    # One line of Flickr30k's results.csv lacks a bar.
    (tmp_path / "results.csv").write_text("image_name| comment_number| comment\n1.jpg| 0| One .\n1.jpg| 4   Two .\n")
    with pytest.raises(
        InputError, match="line 3: 2 fields, but the header has 3. Put text that holds a vertical bar in"
    ):
        read_captions(tmp_path / "results.csv", needed=("caption",))
    (tmp_path / "c.csv").write_text("file_name,label\na.jpg,x\n")
    with pytest.raises(InputError, match=r"no column of captions: call it caption \(its columns: file_name, label\)"):
        read_captions(tmp_path / "c.csv", needed=("caption",))


def test_entries_with_several_captions(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(
        json.dumps({"image": "a.jpg", "caption": ["x", "", "y"]})
        + "\n"
        + json.dumps({"image": "b.jpg", "caption": [{"raw": " z ", "tokens": ["z"]}]})
    )
    (tmp_path / "c.csv").write_text('filename,raw\n"a.jpg","[""x"", ""y""]"\n"b.jpg",z\n')
    for name in ("c.jsonl", "c.csv"):
        rows = read_captions(tmp_path / name)
        assert [row.captions for row in rows] == [("x", "y"), ("z",)]
        assert [row.known["caption"] for row in rows] == ["x", "z"]


def test_the_token_file_of_flickr30k(tmp_path: Path) -> None:
    path = tmp_path / "results_20130124.token"
    path.write_text('1.jpg#0\tA "red" thing, here .\n1.jpg#1\t"Red" | all red\n\nphoto#2.jpg#0\tGreen\n')
    assert [(row.file, row.captions) for row in read_captions(path)] == [
        ("1.jpg", ('A "red" thing, here .',)),
        ("1.jpg", ('"Red" | all red',)),
        ("photo#2.jpg", ("Green",)),
    ]
    path.write_text("1.jpg#0\tone\n2.jpg two\n")
    with pytest.raises(InputError, match="line 2: not a picture's name, #, a number, a tab and a caption"):
        read_captions(path)


def test_which_text_files_hold_captions(tmp_path: Path) -> None:
    for first, captions in {
        "image,caption": True,
        "1.jpg#0\tA dog": True,
        "A dog, on an image": False,
        "caption": False,
        "": False,
    }.items():
        (tmp_path / "x.txt").write_text(first + "\n")
        assert is_captions_file(tmp_path / "x.txt") is captions
    assert not is_captions_file(tmp_path) and not is_captions_file(tmp_path / "gone.csv")


def test_the_most_telling_column_wins() -> None:
    assert recognise(["id", "image", "file_name", "text", "caption"])["file"] == "file_name"
    assert recognise(["id", "image", "file_name", "text", "caption"])["caption"] == "caption"
    assert recognise(["number"]) == {}


@pytest.mark.parametrize(
    ("cell", "words"),
    [(None, ""), (float("nan"), ""), (3.0, "3"), (2.5, "2.5"), (7, "7"), (["a", "b"], "a"), ([], ""), (" x ", "x")],
)
def test_cells_become_text(cell: object, words: str) -> None:
    assert text(cell) == words


@pytest.mark.parametrize(
    ("cell", "captions"),
    [
        (None, []),
        ("", []),
        (" x ", ["x"]),
        ("[photo] a dog", ["[photo] a dog"]),
        ("[1, 2]", ["[1, 2]"]),
        ("[" * 100_000, ["[" * 100_000]),
        (("a", " ", "b"), ["a", "b"]),
        ([{"raw": "a"}, {"tokens": []}], ["a"]),
    ],
)
def test_captions_of_a_cell(cell: object, captions: list[str]) -> None:
    assert captions_of(cell) == captions


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("a;b, c", ["a", "b, c"]),
        ('["a", "b, c"]', ["a", "b, c"]),
        ("[broken", ["[broken"]),
        (["a", None, "a", " "], ["a"]),
        ("", []),
        (5, ["5"]),
    ],
)
def test_keywords(cell: object, words: list[str]) -> None:
    assert keyword_list(cell) == words


def test_splits() -> None:
    assert [split_name(name) for name in ("Train", "val", "DEV", "testing", "extra", None)] == [
        "train",
        "validation",
        "validation",
        "test",
        "extra",
        "",
    ]


@pytest.mark.parametrize(
    "identity", ["", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\\b", "c:/x", "a\nb", "a\0", "\udce9"]
)
def test_hostile_ids_are_found(identity: str) -> None:
    assert id_fault(identity)


@given(st.text(max_size=40))
def test_an_id_without_fault_stays_below_its_folder(identity: str) -> None:
    if id_fault(identity) is None:
        root = Path("/corpus/root")
        path = Path(root / identity)
        assert root in path.parents and ".." not in path.parts
        assert str(path.relative_to(root)) == identity


@given(st.lists(st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=60)), max_size=8))
def test_csv_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "captions.csv"
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        csv.writer(file).writerows([("file_name", "caption"), *rows])
    read = [(row.file, row.known["caption"]) for row in read_captions(path)]
    assert read == [(text(name), text(caption)) for name, caption in rows]
