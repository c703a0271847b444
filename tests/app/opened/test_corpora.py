"""The corpora of the server: keys, thumbnails, and routes that give nothing to a stranger."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app import urls
from app.opened import corpora
from app.pages.retrieval.routes import ROUTES


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=ROUTES))


def test_a_folder_is_offered_beside_the_demo(offered: corpora.CorpusEntry) -> None:
    assert list(corpora.paths()) == ["demo", offered.key] and offered.key.startswith("my-pictures-")
    assert offered.corpus is not None and len(offered.corpus) == 4 and offered.captions
    assert corpora.entry("nothing") is None


def test_a_folder_that_cannot_be_opened_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(corpora.VARIABLE, str(tmp_path))
    corpora.forget()
    entry = corpora.entry(corpora.key_of(tmp_path))
    assert entry is not None and entry.corpus is None and len(entry.problem) > 20 and entry.content == ""


def test_thumbnails_are_small_and_kept_for_ever(offered: corpora.CorpusEntry, client: TestClient) -> None:
    answer = client.get(urls.corpus_thumb(offered.content, 0))
    assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.format == "WEBP" and picture.size == (256, 192)
    again = client.get(urls.corpus_thumb(offered.content, 0), headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_a_picture_that_has_vanished_is_a_404(offered: corpora.CorpusEntry, client: TestClient, pictures: Path) -> None:
    (pictures / "animals" / "2.png").unlink()
    answer = client.get(urls.corpus_thumb(offered.content, 2))
    assert answer.status_code == 404 and answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("item", ["4", "-1", "1e0", "١", "%2e%2e%2fcaptions", "9" * 40, "0.png"])
def test_hostile_items_are_a_404(offered: corpora.CorpusEntry, client: TestClient, item: str) -> None:
    assert client.get(f"/atomscope/corpus/{offered.content}/{item}.webp").status_code == 404


@pytest.mark.parametrize("content", ["0" * 12, "demo", "..", "ABCDEFABCDEF"])
def test_unknown_corpora_are_a_404(offered: corpora.CorpusEntry, client: TestClient, content: str) -> None:
    assert client.get(f"/atomscope/corpus/{content}/0.webp").status_code == 404


def test_a_corpus_whose_captions_were_rewritten_is_opened_again(
    offered: corpora.CorpusEntry, client: TestClient, pictures: Path
) -> None:
    assert corpora.entry(offered.key) is offered
    (pictures / "captions.csv").write_text("file,caption\nanimals/0.png,A wall that was painted red.\n")
    again = corpora.entry(offered.key)
    assert again is not None and again.corpus is not None and again.content != offered.content
    assert again.corpus.items["caption"].iat[0] == "A wall that was painted red."
    for entry in (offered, again):  # a search of before still shows its pictures
        assert client.get(urls.corpus_thumb(entry.content, 0)).status_code == 200


def test_a_thumbnail_is_made_once(offered: corpora.CorpusEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered.corpus is not None
    decoded: list[int] = []
    load = type(offered.corpus).load
    monkeypatch.setattr(type(offered.corpus), "load", lambda self, item: decoded.append(item) or load(self, item))
    first = corpora.thumbnail(offered.corpus, 0)
    assert corpora.thumbnail(offered.corpus, 0) is first and decoded == [0]
    assert corpora.thumbnail(offered.corpus, 1) != first and decoded == [0, 1]


def test_rows_and_splits_of_an_entry(offered: corpora.CorpusEntry) -> None:
    assert offered.row_of("animals/2.png") == 2 and offered.row_of("../../etc/passwd") is None
    assert offered.searched_split("") == offered.searched_split("all") == offered.searched_split("nothing") == ""
    demo = corpora.CorpusEntry(corpora.DEMO, offered.path, None)
    assert demo.searched_split("") == "test" and demo.searched_split("all") == "" and demo.row_of("x") is None
