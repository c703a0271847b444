"""Captions files as people have them, and SugarCrepe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from engine.corpus import open_corpus
from engine.errors import InputError
from engine.progress import SilentProgress
from engine.retrieval.evaluation import benchmark_sugarcrepe, is_sugarcrepe, load_pairs
from engine.retrieval.search.events import CandidateScored, FineRecord
from engine.retrieval.search.query import Query, SearchOptions

NAMES = ("1.jpg", "2.jpg", "3.jpg")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, colour in zip(NAMES, ("red", "green", "blue"), strict=True):
        Image.new("RGB", (48, 40), colour).save(folder / name)
    return folder


def coco() -> dict[str, Any]:
    files = [{"id": 10 + i, "file_name": name} for i, name in enumerate((*NAMES, "gone.jpg"))]
    notes = [{"image_id": 10 + i % 4, "caption": f"caption {i} "} for i in range(9)]
    return {"images": files, "annotations": [*notes, {"image_id": 99, "caption": "of no image"}]}


def test_coco(images: Path, tmp_path: Path) -> None:
    path = tmp_path / "captions_val2017.json"
    path.write_text(json.dumps(coco()))
    for given in (None, images):
        pairs = load_pairs(path, given)
        assert pairs.captions == [
            "caption 0",
            "caption 4",
            "caption 8",
            "caption 1",
            "caption 5",
            "caption 2",
            "caption 6",
        ]
        assert pairs.owners.tolist() == [0, 0, 0, 1, 1, 2, 2] and not pairs.own
        assert pairs.corpus.items["id"].tolist() == list(NAMES)
        assert pairs.corpus.warnings == [f"1 of 4 pictures of captions_val2017 are not in {images}; left out."]
        assert pairs.corpus.load(2).getpixel((0, 0))[2] > 200


def test_karpathy(images: Path, tmp_path: Path) -> None:
    path = tmp_path / "dataset_coco.json"
    rows = [
        {"filename": name, "split": split, "sentences": [{"raw": f"{name} a"}, {"raw": f"{name} b"}]}
        for name, split in zip(NAMES, ("restval", "test", "test"), strict=True)
    ]
    path.write_text(json.dumps({"images": rows}))
    pairs = load_pairs(path, images, "test")
    assert pairs.owners.tolist() == [1, 1, 2, 2] and pairs.captions[0] == "2.jpg a"
    assert pairs.corpus.splits == {"train": 1, "test": 2}
    with pytest.raises(InputError, match="no split 'val'; its splits: train, test"):
        load_pairs(path, images, "val")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "results.csv",
            'image_name| comment_number| comment\n1.jpg| 0| A "red thing .\n1.jpg| 1| Red, all red\n2.jpg| 0| Green\n',
        ),
        ("captions.txt", 'image,caption\n1.jpg,"A ""red thing ."\n1.jpg,"Red, all red"\n2.jpg,Green\n'),
        (
            "results_20130124.token",
            '1.jpg#0\tA "red thing .\n1.jpg#1\tRed, all red\n2.jpg#0\tGreen\n',
        ),
        (
            "captions.jsonl",
            '{"image": "1.jpg", "caption": ["A \\"red thing .", "Red, all red"]}\n{"image": "2.jpg", "text": "no"}\n'
            '{"image": "2.jpg", "caption": "Green"}\n',
        ),
        (
            "flickr_annotations_30k.csv",
            'raw,sentids,split,filename,img_id\n"[""A \\""red thing ."", ""Red, all red""]","[0]",test,1.jpg,0\n'
            '"[""Green""]","[1]",test,2.jpg,1\n',
        ),
    ],
)
def test_flickr(name: str, content: str, images: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    pairs = load_pairs(path, images)
    assert pairs.captions == ['A "red thing .', "Red, all red", "Green"] and pairs.owners.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.json", "{}", "neither a COCO captions file"),
        ("x.json", "[1]", "neither a COCO captions file"),
        ("x.json", "{", "is not valid JSON"),
        ("x.csv", "a,b\n1,2\n", r"has no column that names the images: call it file_name \(its columns: a, b\)"),
        ("x.csv", "image,b\n1,2\n", r"has no column of captions: call it caption \(its columns: image, b\)"),
        ("x.csv", "image,caption\n1.jpg,A man, a dog\n", "line 2: 3 fields, but the header has 2"),
        ("x.txt", "image,caption\n1.jpg,A man, a dog\n", "line 2: 3 fields, but the header has 2"),
        ("x.tsv", "caption\timage\nA man\ta dog\t1.jpg\n", "line 2: 3 fields, but the header has 2"),
        ("x.csv", "image|caption\n1.jpg\n", "line 2: 1 fields, but the header has 2"),
        ("x.csv", "image,caption\n1.jpg,Gr\udcfcn\n", "is not UTF-8 text"),
        (
            "x.csv",
            "image,caption\nnowhere.jpg,a\n",
            "None of the 1 pictures of x lies in .* the first is 'nowhere.jpg'",
        ),
        ("x.csv", "image,caption\n../../secret.jpg,a\n", "None of the 1 pictures"),
        ("x.csv", "image,caption\n1.jpg,a\n", "has 1 captioned pictures: a benchmark needs at least two"),
    ],
)
def test_faults_are_one_sentence(name: str, content: str, sentence: str, images: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=sentence):
        load_pairs(tmp_path / name, images)


def test_all_captions_of_a_data_set_are_asked(images: Path, tmp_path: Path) -> None:
    """A Hugging Face data set with five captions of each picture: elsewhere the first is used, and that is said."""
    pictures = [{"bytes": (images / name).read_bytes(), "path": name} for name in NAMES]
    said = [[f"caption {i}-{n}" for n in range(5)] for i in range(2)] + [["caption 2-0"]]
    (tmp_path / "ds" / "data").mkdir(parents=True)
    table = pa.table({"image": pictures, "caption": said})
    pq.write_table(table, tmp_path / "ds" / "data" / "test-00000-of-00001.parquet")
    corpus = open_corpus(tmp_path / "ds")
    assert corpus.items["caption"].tolist() == ["caption 0-0", "caption 1-0", "caption 2-0"]
    assert corpus.warnings == [
        "2 of 3 pictures have several captions; only the first of each is used, but a benchmark asks all of them."
    ]
    pairs = load_pairs(tmp_path / "ds", split=None)
    assert pairs.captions == [caption for several in said for caption in several] and not pairs.own
    assert pairs.owners.tolist() == [0] * 5 + [1] * 5 + [2] and pairs.split == "test"
    assert corpus.captions(2) == ("caption 2-0",)


def test_all_captions_of_a_folder_are_asked(images: Path) -> None:
    (images / "captions.csv").write_text("image,caption,label\n1.jpg,one,a\n1.jpg,eins,b\n2.jpg,two,c\n")
    pairs = load_pairs(images)
    assert pairs.captions == ["one", "eins", "two"] and pairs.owners.tolist() == [0, 0, 1]
    assert pairs.corpus.items["label"].tolist() == ["a", "c", ""]
    assert pairs.corpus.warnings == [
        "captions.csv: 1 rows name an image again; only the first row of each is used.",
        "captions.csv: 1 of 2 pictures have several captions; only the first of each is used, but a benchmark asks all of "
        "them.",
        "captions.csv: 1 of 3 images have no row in it.",
    ]
    (images / "captions.csv").write_text("image,caption\n1.jpg,one\n2.jpg,two\n")
    assert load_pairs(images).own


def test_one_reader_serves_folders_and_benchmarks(images: Path, tmp_path: Path) -> None:
    """Captions cut at a comma would make two pictures answer for each other; COCO's file also captions a folder."""
    (tmp_path / "captions.csv").write_text("image,caption\n1.jpg,A man, a dog\n2.jpg,A man, alone\n")
    for read in (lambda path: load_pairs(path, images), lambda path: open_corpus(images, path)):
        with pytest.raises(InputError, match=r"captions\.csv, line 2: 3 fields, but the header has 2"):
            read(tmp_path / "captions.csv")
    (tmp_path / "coco.json").write_text(json.dumps(coco()))
    corpus = open_corpus(images, tmp_path / "coco.json")
    assert corpus.items["caption"].tolist() == ["caption 0", "caption 1", "caption 2"]
    assert corpus.captions(0) == ("caption 0", "caption 4", "caption 8")


def test_other_corpora_bring_their_own_pictures(image_folder: Path) -> None:
    assert len(load_pairs(image_folder, split="train").captions) == 4
    with pytest.raises(InputError, match="--images goes with a JSON or CSV"):
        load_pairs(image_folder, image_folder)


class SecondPlace:
    """Always likes the second option; the oracle mode knows the answer by a word."""

    def __init__(self) -> None:
        self.identity = {"name": "second place", "revision": "1"}
        self.orders: list[bool] = []

    def score(
        self, query: Query, candidates: Sequence[Any], options: SearchOptions, cancelled: Callable[[], bool] = bool
    ) -> Iterator[CandidateScored]:
        if options.mode == "listwise":
            self.orders.append("right" in candidates[1].text)
        for place, view in enumerate(candidates):
            score = float(place) if options.mode == "listwise" else float("right" in view.text)
            yield CandidateScored(FineRecord(view.entry, score, options.mode or "log-odds", label_mass=0.5))


def test_sugarcrepe(images: Path, tmp_path: Path, colour_embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    path, other = tmp_path / "swap_att.json", tmp_path / "coco.json"
    rows = {
        str(i): {"filename": NAMES[i % 3], "caption": f"right {i}", "negative_caption": f"wrong {i}"} for i in range(60)
    }
    path.write_text(json.dumps(rows | {"60": rows["0"] | {"filename": "gone.jpg"}}))
    other.write_text(json.dumps(coco()))
    assert is_sugarcrepe(path) and not is_sugarcrepe(other) and not is_sugarcrepe(images)
    scorer = SecondPlace()
    found = benchmark_sugarcrepe(path, images, colour_embedder, scorer, ("log-odds", "listwise"), SilentProgress())
    assert found["riddles"] == 60 and found["accuracy"]["log-odds"]["value"] == 1.0
    assert 0.3 < found["accuracy"]["listwise"]["value"] < 0.7  # a liking for a place earns nothing
    assert 15 < sum(scorer.orders) < 45 and found["label_mass"]["listwise"] == 0.5
    assert found["accuracy"]["coarse"]["value"] == 0.5  # equal cosines count half
    # A model that embeds queries by themselves is asked with the captions: here "right" is asked as the picture's colour.
    colours = {f"right {i}": ("red", "green", "blue")[i % 3] for i in range(60)}
    colour_embedder.embed_text_queries = lambda texts: colour_embedder.embed_texts([colours.get(t, t) for t in texts])
    colour_embedder.embed_image_queries = colour_embedder.embed_images
    found = benchmark_sugarcrepe(path, images, colour_embedder, None, (), SilentProgress())
    assert found["accuracy"]["coarse"]["value"] == 1.0
