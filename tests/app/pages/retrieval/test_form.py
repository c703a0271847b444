"""A search made from what the controls say: one at a time, and a sentence where it cannot be made."""

from __future__ import annotations

import pytest
from PIL import Image

from app.opened import corpora
from app.pages.retrieval.form import search
from app.pages.retrieval.request import Request
from app.pages.retrieval.session import RetrievalSession
from app.pages.retrieval.uploads import Upload


def test_a_new_search_stops_the_one_before(asked: list[Request]) -> None:
    session = RetrievalSession()
    assert search(session, Request(text="one"))
    before = session.run
    assert search(session, Request(text="two")) and before is not None and before.job.cancelled()


@pytest.mark.parametrize(
    ("text", "says"), [("", "The query is empty"), (" \n", "The query is empty"), ("x" * 10_000, "10,000")]
)
def test_bad_queries_are_one_sentence(asked: list[Request], text: str, says: str) -> None:
    session = RetrievalSession()
    assert not search(session, Request(text=text)) and says in session.fault and session.run is None
    assert search(session, Request(text="a wall")) and not session.fault


def test_a_query_of_an_upload_that_was_let_go_is_empty(asked: list[Request]) -> None:
    session = RetrievalSession()
    assert not search(session, Request(upload="0123456789abcdef")) and "The query is empty" in session.fault
    session.keep(Upload("abc", "a.png", Image.new("RGB", (4, 4)), (4, 4), "data:"))
    assert search(session, Request(upload="abc"))


def test_a_search_keeps_the_corpus_and_the_answer_it_was_asked_with(
    asked: list[Request], offered: corpora.CorpusEntry
) -> None:
    session = RetrievalSession()
    assert search(session, Request(text="A green wall.", corpus=offered.key)) and session.run is not None
    assert session.run.entry is offered and session.run.answer == 1
