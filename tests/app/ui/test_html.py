"""Markup: nothing that comes from data can become markup."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from app.ui.html import Html, join, tag


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader


# Without what no HTML text can carry: NUL and lone surrogates, and CR, which a parser may turn into LF.
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=40)


@given(_TEXT, _TEXT)
def test_data_stays_data_in_text_and_in_attributes(text: str, attribute: str) -> None:
    read = _read(tag("p", text, data_tip=attribute, cls="a"))
    assert read.tags == [("p", {"data-tip": attribute, "class": "a"})]
    assert read.text == text


def test_a_caption_with_a_script_is_shown_as_text() -> None:
    hostile = "<img src=x onerror='alert(1)'>\"><script>alert(2)</script>"
    read = _read(tag("figure", tag("img", alt=hostile), hostile, [hostile]))
    assert [name for name, _ in read.tags] == ["figure", "img"]
    assert read.tags[1][1]["alt"] == hostile


def test_markup_is_kept_and_none_is_left_out() -> None:
    assert join(tag("b", 1), None, False, ["x", Html("<i>")]) == "<b>1</b>x<i>"
    assert tag("a", data_on=True, href=None, tabindex=0) == "<a data-on tabindex='0'></a>"
    assert tag("img", src="x") == "<img src='x'>"
