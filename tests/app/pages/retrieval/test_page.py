"""The page as a script: what the address starts, what bad input is told, and that sessions keep apart."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from app.opened import corpora, models
from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.request import Request
from app.pages.retrieval.session import RetrievalSession
from app.ui import browser


def _page() -> None:
    from app.pages.retrieval import page as retrieval

    retrieval.page()


def _run(**query: str) -> AppTest:
    test = AppTest.from_function(_page, default_timeout=30)
    for name, value in query.items():
        test.query_params[name] = value
    return _settled(test.run())


def _settled(test: AppTest) -> AppTest:
    end = time.monotonic() + 10
    session: RetrievalSession = test.session_state["retrieval"]
    while session.run is not None and session.run.job.active and time.monotonic() < end:
        time.sleep(0.02)
    return test.run()


def _key(test: AppTest, name: str) -> str:
    return f"retrieval_{name}_{test.session_state['retrieval'].fills}"


def _html(test: AppTest) -> str:
    assert not test.exception, test.exception
    return "".join(browser.unpack(element.proto.bytes)["html"] for element in test.get("bidi_component"))


def _mine(offered: corpora.CorpusEntry, **query: str) -> AppTest:
    return _run(corpus=offered.key, **query)


def test_the_page_begins_with_examples_and_names_the_model(asked: list[Request], offered: corpora.CorpusEntry) -> None:
    test = _mine(offered)
    html = _html(test)
    assert "as-examples" in html and html.count(f"/atomscope/corpus/{offered.content}/") >= 4 and not asked
    assert any("A small demo model trained for this demo" in caption.value for caption in test.caption)


def test_a_link_searches_and_shows_its_step(asked: list[Request], offered: corpora.CorpusEntry) -> None:
    test = _mine(offered, q="a green wall", k="3", step="pool")
    assert asked == [Request(text="a green wall", corpus=offered.key, k=3)]
    assert "Where the pool lies" in _html(test)
    assert (
        test.text_input(key=_key(test, "text")).value == "a green wall" and test.slider(key=_key(test, "k")).value == 3
    )


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("fine", "What the model says of each"),
        ("enhance", "Visual enhancement"),
        ("ranks", "From coarse rank to final place"),
        ("prompt", "The exact prompt"),
        ("sweep", "Who is first"),
        ("export", "coarse rank"),
    ],
)
def test_every_step_has_an_address(asked: list[Request], offered: corpora.CorpusEntry, step: str, words: str) -> None:
    assert words in _html(_mine(offered, q="a wall", step=step))


def test_next_and_previous_walk_the_steps_and_write_the_address(
    asked: list[Request], offered: corpora.CorpusEntry
) -> None:
    test = _mine(offered, q="a wall")
    test.button(key="retrieval_next").click().run()
    assert test.query_params["step"] in ("enhance", ["enhance"]) and test.query_params["q"] in ("a wall", ["a wall"])
    test.button(key="retrieval_previous").click().run()
    test.button(key="retrieval_previous").click().run()
    test.button(key="retrieval_previous").click().run()  # the first step is the end
    assert test.query_params["step"] in ("pool", ["pool"]) and len(asked) == 1


def test_a_chosen_candidate_is_part_of_the_address(asked: list[Request], offered: corpora.CorpusEntry) -> None:
    assert offered.corpus is not None
    second = str(offered.corpus.items["id"].iat[1])
    test = _mine(offered, q="a wall", step="prompt", candidate=second)
    assert test.session_state["retrieval"].picked == 1
    test.button(key="retrieval_previous").click().run()
    assert test.query_params["candidate"] in (second, [second])  # it stays from step to step
    test = _mine(offered, q="a wall", step="prompt", candidate="../../etc")
    assert test.session_state["retrieval"].picked is None and "candidate" not in test.query_params
    assert "The exact prompt" in _html(test)


def test_what_a_preset_leaves_open_can_be_set(asked: list[Request], offered: corpora.CorpusEntry) -> None:
    test = _mine(offered, q="a wall", enhance="paper", alpha="0.4")
    assert asked[-1].alpha == 0.4 and test.number_input(key=_key(test, "alpha_paper")).value == 0.4
    test.number_input(key=_key(test, "alpha_paper")).set_value(0.3)  # the paper's own
    test.number_input(key=_key(test, "threshold_paper")).set_value(0.5)
    test.button(key="retrieval_search").click().run()
    assert (asked[-1].alpha, asked[-1].threshold) == (None, 0.5)
    assert test.query_params["threshold"] in ("0.5", ["0.5"]) and "alpha" not in test.query_params


def test_the_form_searches_and_writes_the_address(asked: list[Request], offered: corpora.CorpusEntry) -> None:
    test = _mine(offered)
    test.text_input(key=_key(test, "text")).set_value("  un mur 赤い  ")
    test.button(key="retrieval_search").click().run()
    test = _settled(test)
    assert asked[-1].text == "  un mur 赤い  " and test.query_params["q"] in ("un mur 赤い", ["un mur 赤い"])
    assert "What the model says of each" in _html(test)


@pytest.mark.parametrize(("text", "says"), [("", "The query is empty"), ("x" * 10_000, "10,000 characters")])
def test_bad_queries_are_told_and_nothing_is_searched(
    asked: list[Request], offered: corpora.CorpusEntry, text: str, says: str
) -> None:
    test = _mine(offered)
    test.text_input(key=_key(test, "text")).set_value(text)
    test.button(key="retrieval_search").click().run()
    assert not asked and says in test.warning[0].value


def test_a_search_that_cannot_be_made_is_one_sentence(asked: list[Request], offered: corpora.CorpusEntry) -> None:
    test = _mine(offered, q="this fails")
    assert not test.exception and any("no multimodal model" in text.value for text in test.markdown)


@pytest.mark.parametrize(
    "query",
    [
        {"q": "x", "step": "<script>"},
        {"q": "x", "k": "9999"},
        {"q": "x", "mode": "magic"},
        {"image": "../../etc/passwd"},
        {"q": "x", "split": "secret"},
        {"q": "x", "upload": "0123456789abcdef"},
    ],
    ids=lambda query: "-".join(query),
)
def test_bad_addresses_fall_back_with_a_notice(
    asked: list[Request], offered: corpora.CorpusEntry, query: dict[str, str]
) -> None:
    test = AppTest.from_function(_page, default_timeout=30)
    for name, value in ({"corpus": offered.key} | query).items():
        test.query_params[name] = value
    test.run()
    assert not test.exception and len(test.info) == 1 and len(test.info[0].value) > 15


def test_missing_weights_name_the_command(
    asked: list[Request], offered: corpora.CorpusEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "missing_weights", lambda stage: ["minilm-l6-v2"])
    assert [code.value for code in _mine(offered).code] == ["atomscope demo weights"]


def test_two_sessions_never_see_each_other(asked: list[Request], offered: corpora.CorpusEntry) -> None:
    one, two = _mine(offered, q="first"), _mine(offered, q="second")
    assert one.session_state["retrieval"].run.request.text == "first"
    assert two.session_state["retrieval"].run.request.text == "second"
    assert one.session_state["retrieval"] is not two.session_state["retrieval"]


def test_stepping_does_not_read_again(asked: list[Request], offered: corpora.CorpusEntry) -> None:
    test = _mine(offered, q="a wall")
    job = test.session_state["retrieval"].run.job
    for _ in range(3):
        test.button(key="retrieval_next").click().run()
    assert test.session_state["retrieval"].run.job is job and outcome_of(job.events).done is not None
