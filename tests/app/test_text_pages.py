"""The pages over an atlas of texts: tokens instead of pictures, and whatever the texts hold is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from app import state
from app.atlas_ui import passage, snippet
from app.components.atom_map.routes import CARD_TEXTS, map_routes
from app.opened import atlases
from app.ui import browser
from app.urls import MAP
from engine.atlas import Atlas, search, top_exemplars
from tests.text_atlases import text_atlas


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_atlas(tmp_path_factory.mktemp("texts"))


@pytest.fixture
def texts(folder: Path, atlas_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Atlas]:
    """The atlas of texts, beside one of pictures."""
    monkeypatch.setenv(atlases.VARIABLE, f"{folder}:{atlas_folder}")
    atlases.forget()
    yield next(iter(atlases.atlases().values()))
    atlases.forget()


def _overview() -> None:
    from app.pages.overview import page as overview

    overview.page()


def _counts() -> None:
    from app.pages.counts import page as activation_counts

    activation_counts.page()


def _concepts() -> None:
    from app.pages.concepts import page as concepts

    concepts.page()


def _map() -> None:
    from app.pages.map import page as dictionary_map

    dictionary_map.page()


def _shown(page: Callable[[], None], **query: str) -> tuple[AppTest, str]:
    test = AppTest.from_function(page, default_timeout=60)
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, test.exception
    found = [browser.unpack(element.proto.bytes) for element in test.get("bidi_component") if element.proto.bytes]
    return test, "".join(entry["html"] for entry in found if "html" in entry)


@pytest.mark.parametrize("page", [_overview, _counts, _concepts, _map])
def test_every_page_draws_texts_and_escapes_them(texts: Atlas, page: Callable[[], None]) -> None:
    _, html = _shown(page, atlas=texts.key)
    assert "<script" not in html and "<b>bold" not in html
    if page in (_overview, _counts, _concepts):
        assert "/atomscope/thumb/" not in html and "/atomscope/heat/" not in html


def test_a_concept_is_a_list_of_marked_snippets(texts: Atlas) -> None:
    atom = int(texts.atoms["firing_count"].to_numpy().argmax())
    _, html = _shown(_concepts, atlas=texts.key, atom=str(atom))
    shown = min(len(texts.exemplars(atom, "top")), 16)
    assert html.count("class='as-at'") >= shown
    assert "its largest anywhere" in html  # the legend of the marks


def test_a_chunk_is_painted_token_by_token(texts: Atlas) -> None:
    _, html = _shown(_counts, atlas=texts.key, item="0", position="3")
    assert html.count("data-value='0:") == texts.n_positions
    assert f"support size {int(texts.support[0, 3])}" in html
    assert "atoms a token" in html and "atoms a patch" not in html


def test_the_other_atlas_still_shows_pictures(texts: Atlas) -> None:
    pictures = list(atlases.atlases().values())[1]
    _, html = _shown(_concepts, atlas=pictures.key)
    assert "/atomscope/thumb/" in html and "as-lines" not in html


def test_snippets_mark_what_fires_and_nothing_else(texts: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "atlas", lambda: texts)
    words = texts.snippets
    html = snippet(texts, 0, 4, {4: 1.0, 5: 0.5}, 1.0)
    assert html.count("<mark") == 2 and html.count("as-at") == 1
    assert words.captions[0][slice(*words.span(0, 4))].strip() in html
    assert "--a:70%" in html  # the largest activation has the full mark
    assert passage(texts, 0, painted=False).count("--c:") == 0


def test_search_looks_at_the_words_around_the_token(texts: Atlas) -> None:
    pairs = top_exemplars.exemplar_pairs(texts)
    looked = 0
    for word in ("river", "boat", "cat", "sat", "city", "here"):
        for hit in (hit for hit in search.find_atoms(texts, word) if hit.reason == "captions"):
            rows = pairs[pairs["atom"] == hit.atom]
            near = [texts.snippets.window(int(i), int(p)) for i, p in zip(rows["item"], rows["position"], strict=True)]
            assert sum(word in text for text in near) == hit.exemplars >= 2
            looked += 1
    assert looked


def test_the_card_of_the_map_quotes_the_token(texts: Atlas) -> None:
    atom = int(texts.atoms["firing_count"].to_numpy().argmax())
    client = TestClient(Starlette(routes=map_routes(lambda key: texts, lambda atlas, item: "")))
    card = client.get(f"{MAP}/{texts.key}/atoms/{atom}.json").json()
    best = texts.exemplars(atom, "top")
    assert len(card["texts"]) == min(len(best), CARD_TEXTS) and card["thumbs"] == []
    for quote, item, position in zip(card["texts"], best["item"], best["position"], strict=False):
        assert quote["at"] == texts.snippets.captions[item][slice(*texts.snippets.span(int(item), int(position)))]
        assert "".join(quote[part] for part in ("before", "at", "after")) in texts.snippets.captions[item]
