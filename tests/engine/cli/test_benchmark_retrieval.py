"""``atomscope benchmark-retrieval`` as a person meets it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.cli.main import run
from engine.retrieval.search.events import CandidateScored, FineRecord
from engine.retrieval.search.query import Query, SearchOptions
from engine.retrieval.search.ranking import Prior


class Reader:
    """Stands in for the multimodal model: longer captions are likelier."""

    def __init__(self) -> None:
        self.identity = {"name": "reader", "revision": "1"}
        self.default_mode, self.prior, self.pictures, self.enhancement_fault = "log-odds", Prior(), 1, ""

    def clear(self) -> None:
        """Keeps nothing."""

    def score(
        self, query: Query, candidates: Sequence[Any], options: SearchOptions, cancelled: Callable[[], bool] = bool
    ) -> Iterator[CandidateScored]:
        for view in candidates:
            record = FineRecord(
                view.entry, float(len(view.text)), options.mode or "log-odds", p_true=0.6, p_false=0.3, label_mass=0.9
            )
            yield CandidateScored(record, record if options.enhancement else None)


@pytest.fixture(autouse=True)
def models(colour_embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.retrieval.evaluation.run.load_embedder", lambda *_: colour_embedder)
    monkeypatch.setattr(
        "engine.retrieval.evaluation.run.load_scorer", lambda name, *_: None if name == "none" else Reader()
    )


def test_the_table_shows_every_stage(image_folder: Path, tmp_path: Path, capsys) -> None:
    saved = tmp_path / "figures.json"
    command = ["benchmark-retrieval", "--corpus", str(image_folder), "--split", "all", "--top-k", "2,3", "--timed", "1"]
    assert run([*command, "--modes", "log-odds,expected", "--enhancement", "--save", str(saved)]) == 0
    captured = capsys.readouterr()
    for words in (
        "text-image, 5 queries",
        "image-text, 5 queries",
        "coarse",
        "log-odds, pool of 2 ",
        "log-odds, pool of 3 + enhancement",
        "expected, pool of 3",
        "ceiling",
        "recall@1 by pool size, log-odds:  1: 100.0",
        "median label mass, log-odds: 0.900",
        "True / False, log-odds: 50.0",
        "enhancement fired in 0% of the pairs",
        "seconds per query, text-image, pool of 2",
    ):
        assert words in captured.out, words
    assert "ETA" in captured.err or "Reading pairs (log-odds, enhanced)" in captured.err
    found = json.loads(saved.read_text())
    assert set(found["directions"]["text-image"]["fine"]) == {"log-odds", "expected"}
    assert set(found["directions"]["text-image"]["enhanced"]) == {"log-odds"}


def test_json_of_the_coarse_stage_alone(image_folder: Path, capsys) -> None:
    command = ["benchmark-retrieval", "--corpus", str(image_folder), "--split", "train", "--mllm", "none", "--json"]
    assert run([*command, "--directions", "text-image", "--queries", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["directions"]) == ["text-image"] and found["directions"]["text-image"]["queries"] == 3
    assert found["directions"]["text-image"]["coarse"]["recall@1"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_sugarcrepe_and_coco_files(tmp_path: Path, capsys) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("1.jpg", "2.jpg"):
        Image.new("RGB", (48, 40), "red").save(tmp_path / "pictures" / name)
    crepe, coco = tmp_path / "swap.json", tmp_path / "coco.json"
    row = {"filename": "1.jpg", "caption": "red", "negative_caption": "a blue one"}
    crepe.write_text(json.dumps({"0": row}))
    files = [{"id": i, "file_name": f"{i}.jpg"} for i in (1, 2)]
    notes = [{"image_id": i, "caption": f"caption {i}"} for i in (1, 2)]
    coco.write_text(json.dumps({"images": files, "annotations": notes}))
    images = ["--images", str(tmp_path / "pictures")]
    assert run(["benchmark-retrieval", "--corpus", str(crepe), *images, "--modes", "log-odds"]) == 0
    out = capsys.readouterr().out
    assert "swap.json: 1 pictures, chance 50.0" in out
    figures = {name: cells for name, *cells in map(str.split, out.splitlines()[1:])}
    assert set(figures) == {"coarse", "log-odds"}
    assert figures["coarse"][0] == "100.0" and figures["log-odds"][0] == "0.0"
    assert run(["benchmark-retrieval", "--corpus", str(coco), *images, "--mllm", "none"]) == 0
    assert "coco: 2 pictures, 2 captions" in capsys.readouterr().out
    assert run(["benchmark-retrieval", "--corpus", str(crepe)]) == 2
    assert "with --images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--top-k", "five"], "--top-k wants numbers separated by commas"),
        (["--top-k", "0,5"], "at least one candidate"),
        (["--modes", "log-odds,vibes"], "There is no score mode 'vibes'"),
        (["--directions", "sideways"], "There is no direction 'sideways'"),
        (["--queries", "0"], "--queries"),
        (["--split", "holdout"], "has no split 'holdout'"),
        (["--split", "test"], "needs at least two"),
        (["--preset", "more", "--enhancement"], "There is no enhancement preset 'more'"),
        (["--images", "."], "--images goes with a JSON or CSV"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, image_folder: Path, capsys
) -> None:
    assert run(["benchmark-retrieval", "--corpus", str(image_folder), *arguments]) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and sentence in errors[0] and "Traceback" not in captured.err and captured.out == ""
