"""What a session holds: few uploads, and controls that are set anew."""

from __future__ import annotations

from PIL import Image

from app.pages.retrieval.request import Request
from app.pages.retrieval.session import UPLOADS, RetrievalSession
from app.pages.retrieval.uploads import Upload


def test_uploads_are_bounded(asked: list[Request]) -> None:
    session = RetrievalSession()
    for number in range(UPLOADS + 3):
        session.keep(Upload(str(number), "a.png", Image.new("RGB", (4, 4)), (4, 4), "data:"))
    assert list(session.uploads) == [str(number) for number in range(3, UPLOADS + 3)]


def test_controls_that_are_set_get_new_names() -> None:
    session = RetrievalSession()
    before = session.key("k")
    session.fill(Request(text="x", k=7))
    assert session.key("k") != before and session.draft == session.filled == Request(text="x", k=7)
