"""``atomscope search`` as a person meets it: what it prints, its JSON document, and every kind of bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.cli.main import run
from engine.retrieval.search.events import CandidateFailed, CandidateScored, FineRecord
from engine.retrieval.search.query import Query, SearchOptions
from engine.retrieval.search.ranking import Prior

pytestmark = pytest.mark.filterwarnings("error::FutureWarning")


class Reader:
    """Stands in for the multimodal model: likes squares, breaks on blue, and cannot count."""

    def __init__(self) -> None:
        self.identity = {"name": "reader", "revision": "1", "note": "a stand-in"}
        self.default_mode, self.prior, self.pictures, self.enhancement_fault = "log-odds", Prior(), 1, ""

    def clear(self) -> None:
        """Keeps nothing."""

    def score(
        self, query: Query, candidates: Sequence[Any], options: SearchOptions, cancelled: Callable[[], bool] = bool
    ) -> Iterator[CandidateScored | CandidateFailed]:
        for view in candidates:
            if view.entry.id.endswith("2.jpg"):
                yield CandidateFailed(FineRecord(view.entry, None, "log-odds", error="it is blue"))
            else:
                odd = float("nan") if view.entry.id.endswith("1.jpg") else 0.25
                score = 2.0 if view.entry.id.startswith("square") else -1.0
                yield CandidateScored(FineRecord(view.entry, score, "log-odds", entropy=odd, label_mass=0.5))


@pytest.fixture(autouse=True)
def models(colour_embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("engine.retrieval.search.opening.load_embedder", lambda *_: colour_embedder)
    monkeypatch.setattr(
        "engine.retrieval.search.opening.load_scorer", lambda name, *_: None if name == "none" else Reader()
    )


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    captured = capsys.readouterr()
    return captured.out, " ".join(captured.err.split())


def test_every_step_is_said_and_the_order_is_on_stdout(image_folder: Path, capsys) -> None:
    assert run(["search", "--corpus", str(image_folder), "--text", "a red, round thing", "--top-k", "4"]) == 0
    out, err = said(capsys)
    lines = out.splitlines()
    assert len(lines) == 4 and "square/0.jpg" in lines[0] and "+2.000" in lines[0] and "a red, square thing" in lines[0]
    assert "-1.000" in lines[1] and "--" in lines[3]
    assert "pictures: 6 items; coarse: colours; fine: reader" in err and "note: a stand-in" in err
    assert "pool: 4 of 6 items" in err and "label mass 0.50" in err and "failed round/2.jpg: it is blue" in err
    assert "coarse 0." in err and "next: atomscope serve" in err


def test_json_is_one_document(image_folder: Path, capsys) -> None:
    picture = str(image_folder / "round" / "0.jpg")
    command = ["search", "--corpus", str(image_folder), "--image", picture, "--split", "train", "--json"]
    assert run(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["query"] == {"text": "", "image": [48, 40]}
    assert [entry["rank"] for entry in found["pool"]] == [1, 2, 3, 4] and found["pool"][0]["id"] == "round/0.jpg"
    assert (
        found["fine"][1]["score"] == 2.0 and [record["entropy"] for record in found["fine"]].count(None) == 2
    )  # no NaN
    assert found["order"][0] == {"item": found["pool"][1]["item"], "id": "square/0.jpg"}
    assert found["models"]["embedder"]["name"] == "colours" and found["models"]["mllm"]["name"] == "reader"
    assert set(found["seconds"]) == {"coarse", "fine", "all"} and found["cancelled"] is False
    assert found["tie"] is not None and found["options"]["top_k"] == 5


@pytest.mark.parametrize("text", ["красная круглая вещь", "赤い丸いもの", "🍎 red", "red' OR 1=1 --", "a\nb\tc"])
def test_any_script_is_a_query(text: str, image_folder: Path, capsys) -> None:
    assert run(["search", "--corpus", str(image_folder), "--text", text, "--mllm", "none", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["query"]["text"] == text and len(found["order"]) == 5
    assert (
        found["notes"] == ["There is no multimodal model to read the candidates."] and found["models"]["mllm"] is None
    )


def test_more_than_there_is_and_a_corpus_of_one(image_folder: Path, capsys) -> None:
    assert run(["search", "--corpus", str(image_folder), "--text", "red", "--top-k", "1000"]) == 0
    assert len(said(capsys)[0].splitlines()) == 6
    assert run(["search", "--corpus", str(image_folder), "--text", "red", "--split", "test", "--top-k", "9"]) == 0
    assert len(said(capsys)[0].splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "The query is empty"),
        (["--text", "  "], "The query is empty"),
        (["--text", "x" * 10_000], "The query has 10,000 characters; at most 2,000 are read"),
        (["--image", "{fake}"], "fake.png is a text file, not a"),
        (["--image", "nowhere.png"], "nowhere.png cannot be read (No such file or directory)"),
        (["--text", "a", "--top-k", "0"], "needs at least one candidate"),
        (["--text", "a", "--top-k", "many"], "--top-k"),
        (["--text", "a", "--mode", "vibes"], "There is no score mode 'vibes'"),
        (["--text", "a", "--enhancement", "more"], "There is no enhancement preset 'more'"),
        (["--text", "a", "--split", "holdout"], "has no split 'holdout'"),
        (["--text", "a", "--index", "b-tree"], "There is no index 'b-tree'"),
        (["--text", "a", "--corpus", "{empty}"], "holds no file"),
        (["--text", "a", "--corpus", "nowhere"], "nowhere does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, image_folder: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "fake.png").write_text("I am no picture.")
    names = {"fake": str(tmp_path / "fake.png"), "empty": str(tmp_path / "empty")}
    given = [argument.format(**names) if "{" in argument else argument for argument in arguments]
    corpus = [] if "--corpus" in given else ["--corpus", str(image_folder)]
    assert run(["search", *corpus, *given]) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and sentence in errors[0] and "Traceback" not in captured.err and captured.out == ""


def test_a_folder_that_is_no_multimodal_model(
    image_folder: Path, tiny_clip: str, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(image_folder.parent / "cache"))
    command = ["search", "--corpus", str(image_folder), "--image", str(image_folder / "round" / "0.jpg")]
    assert run([*command, "--embedder", tiny_clip, "--mllm", tiny_clip]) == 2
    out, err = said(capsys)
    assert out == "" and err.count("error:") == 1 and "Traceback" not in err
    assert run([*command, "--embedder", tiny_clip, "--mllm", "none"]) == 0  # the embedder is one: pictures by a picture
    assert "round/0.jpg" in said(capsys)[0].splitlines()[0]
    assert (
        run(["search", "--corpus", str(image_folder), "--text", "red", "--embedder", tiny_clip, "--mllm", "none"]) == 2
    )
    assert "has no text side" in said(capsys)[1]
