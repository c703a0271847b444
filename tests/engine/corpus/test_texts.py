"""Texts: a line an item, or a file an item."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from engine.corpus import UnreadableItem, open_corpus
from engine.errors import InputError


def test_a_file_with_one_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "glosses.txt"
    path.write_text("\ufefffirst\r\n\n  \nzwei Grüße \nlast, without an end", "utf-8")
    corpus = open_corpus(path)
    assert corpus.name == "glosses" and set(corpus.items["kind"]) == {"text"}
    assert [corpus.text(item) for item in range(len(corpus))] == ["first", "zwei Grüße", "last, without an end"]
    assert list(corpus.items["id"]) == ["line-00000001", "line-00000004", "line-00000005"]
    before = corpus.hash
    path.write_text("other", "utf-8")
    assert open_corpus(path).hash != before


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    for name, words in {"train/news/a.txt": "one\ntwo", "test/tales/b.TXT": "three", "notes.md": "no"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(words)
    corpus = open_corpus(tmp_path)
    assert list(corpus.items["id"]) == ["test/tales/b.TXT", "train/news/a.txt"]
    assert list(corpus.items["label"]) == ["tales", "news"]
    assert list(corpus.items["split"]) == ["test", "train"]
    assert corpus.text(1) == "one\ntwo"


SENTENCE = "the sky is blue over the old town and the river was calm that day."


@pytest.mark.parametrize("suffix", ["txt", "csv", "tsv", "jsonl", "parquet"])
def test_a_text_edited_in_place_is_seen(tmp_path: Path, suffix: str) -> None:
    """A word in the middle of a file, which keeps its size."""

    def write(words: str, number: int) -> None:
        texts = [f"item {i:03d}: {words if i == number else SENTENCE}" for i in range(900)]
        table = pd.DataFrame({"text": texts})
        if suffix == "txt":
            path.write_text("\n".join(texts))
        elif suffix == "parquet":
            table.to_parquet(path, compression=None)
        elif suffix in ("csv", "tsv"):
            table.to_csv(path, sep="," if suffix == "csv" else "\t", index=False)
        else:
            table.to_json(path, orient="records", lines=suffix == "jsonl")

    path = tmp_path / f"texts.{suffix}"
    write(SENTENCE, 300)
    corpus, size = open_corpus(path), path.stat().st_size
    before = corpus.hash
    assert corpus.is_unchanged() and open_corpus(path).hash == before and size > 40_000
    write(SENTENCE.replace("sky is blue", "red dragon!"), 300)
    assert path.stat().st_size == size
    assert not corpus.is_unchanged() and open_corpus(path).hash != before


def test_a_text_file_of_a_folder_edited_in_place_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join([SENTENCE] * 900))
    before = open_corpus(tmp_path).hash
    (tmp_path / "a.txt").write_text("\n".join([SENTENCE] * 400 + [SENTENCE.replace("blue", "grey")] + [SENTENCE] * 499))
    assert open_corpus(tmp_path).hash != before


def test_a_text_is_no_image_and_an_image_no_text(tmp_path: Path, image_folder: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(UnreadableItem, match="line-00000001 is not an image"):
        open_corpus(tmp_path / "a.txt").load(0)
    with pytest.raises(UnreadableItem, match=r"round/0\.jpg is not a text"):
        open_corpus(image_folder).text(0)


def test_bad_text_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for data, sentence in ((b"", "is empty"), (b" \n\n", "only blank lines")):
        path.write_bytes(data)
        with pytest.raises(InputError, match=sentence):
            open_corpus(path)
    path.write_bytes(b"good\nbad \xff line\n")
    corpus = open_corpus(path)
    assert corpus.text(0) == "good"
    with pytest.raises(UnreadableItem, match="line-00000002 is not UTF-8 text"):
        corpus.text(1)
