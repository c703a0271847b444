"""What a session holds: one search at a time, few uploads, and a sentence for a query that cannot be made."""

from __future__ import annotations

import pytest
from PIL import Image

from app.opened import corpora
from app.pages.retrieval.request import Request
from app.pages.retrieval.session import UPLOADS, Session
from app.pages.retrieval.uploads import Upload


def test_a_new_search_stops_the_one_before(asked: list[Request]) -> None:
    session = Session()
    assert session.search(Request(text="one"))
    before = session.run
    assert session.search(Request(text="two")) and before is not None and before.job.cancelled()


def test_uploads_are_bounded(asked: list[Request]) -> None:
    session = Session()
    for number in range(UPLOADS + 3):
        session.keep(Upload(str(number), "a.png", Image.new("RGB", (4, 4)), (4, 4), "data:"))
    assert list(session.uploads) == [str(number) for number in range(3, UPLOADS + 3)]


@pytest.mark.parametrize(
    ("text", "says"), [("", "The query is empty"), (" \n", "The query is empty"), ("x" * 10_000, "10,000")]
)
def test_bad_queries_are_one_sentence(asked: list[Request], text: str, says: str) -> None:
    session = Session()
    assert not session.search(Request(text=text)) and says in session.fault and session.run is None
    assert session.search(Request(text="a wall")) and not session.fault


def test_a_query_of_an_upload_that_was_let_go_is_empty(asked: list[Request]) -> None:
    session = Session()
    assert not session.search(Request(upload="0123456789abcdef")) and "The query is empty" in session.fault
    session.keep(Upload("abc", "a.png", Image.new("RGB", (4, 4)), (4, 4), "data:"))
    assert session.search(Request(upload="abc"))


def test_a_search_keeps_the_corpus_and_the_answer_it_was_asked_with(
    asked: list[Request], offered: corpora.Entry
) -> None:
    session = Session()
    assert session.search(Request(text="A green wall.", corpus=offered.key)) and session.run is not None
    assert session.run.entry is offered and session.run.answer == 1
