"""The address is the truth: links round-trip, Back goes back, and whatever a stranger writes into it is met politely."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest

from app.components.atom_map.ids import encode_ids

if TYPE_CHECKING:
    from tests.browser.conftest import View

pytestmark = pytest.mark.browser


def test_map_link_round_trips(new_view: Callable[..., View]) -> None:
    wanted = {
        "color": "monosemanticity",
        "palette": "cividis",
        "hide": "dense",
        "range": "frequency:1e-05:",
        "find": "1",
        "sel": encode_ids(np.arange(10, 60, 3)),
        "atom": "40",
    }
    first = new_view().open("map", **wanted).map_ready()
    told = {name: first.told(name) for name in ("points", "selected", "matches", "focus")}
    assert told["selected"] == "17"
    assert told["focus"] == "40"
    assert {k: first.query[k] for k in wanted} == wanted
    again = new_view("dark")
    again.page.goto(first.page.url)
    again.settle().map_ready()
    assert {name: again.told(name) for name in told} == told
    for one in (first, again):
        one.healthy()


def test_concept_link_round_trips(view: View) -> None:
    view.open("concepts", atom=12, concepts_n=8)
    body = view.page.locator(".as-atom-page")
    body.wait_for()
    text = body.inner_text()
    assert "atom 12" in text
    view.page.reload()
    view.settle()
    body.wait_for()
    assert view.query == {"atlas": view.server.keys["demo"], "atom": "12", "concepts_n": "8"}
    assert body.inner_text() == text
    view.healthy()


def test_back_goes_back(view: View) -> None:
    view.open("concepts", atom=12)
    view.page.keyboard.press("ArrowRight")
    view.page.wait_for_url("**atom=13**")
    view.settle()
    view.page.go_back()
    view.page.wait_for_url("**atom=12**")
    view.settle()
    # From one page to another and back.
    view.open("map", atom=5).map_ready()
    view.page.locator(".st-key-map_open button").first.click()
    view.page.wait_for_url("**/concepts?**")
    view.settle()
    view.page.go_back()
    view.page.wait_for_url("**/map?**")
    view.settle().map_ready()
    assert view.told("focus") == "5"
    view.healthy()


def bomb() -> str:
    """Five megabytes of zeros in a few kilobytes of link."""
    return base64.urlsafe_b64encode(zlib.compress(bytes(5_000_000), 9)).rstrip(b"=").decode()


HOSTILE = [
    ("map", {"atom": "-1"}),
    ("map", {"color": "__class__"}),
    ("map", {"range": "x';drop table:0:1"}),
    ("map", {"sel": bomb()}),
    ("map", {"sel": encode_ids(np.array([10**9]))}),
    ("concepts", {"atom": "<script>alert(1)</script>"}),
    ("counts", {"item": "1e3"}),
    ("", {"atlas": "../../../etc"}),
]


@pytest.mark.parametrize(("path", "query"), HOSTILE, ids=lambda value: str(value)[:50])
def test_bad_values_fall_back_with_a_notice(view: View, path: str, query: dict[str, str]) -> None:
    view.open(path, **({"atlas": "demo"} | query))
    notice = view.page.get_by_test_id("stAlert")
    notice.first.wait_for()
    assert len(notice.first.inner_text()) > 15
    view.page.locator("h1").first.wait_for()
    if path == "map":
        view.map_ready()
        assert int(view.told("points")) > 0
    view.healthy()


def test_markup_in_a_search_stays_text(view: View) -> None:
    attack = "<img src=x onerror=alert(1)> **bold** $x$"
    view.open("map", find=attack).map_ready()
    assert view.page.get_by_role("searchbox", name="Find").input_value() == attack
    assert not view.page.locator("img[src=x]").count()
    view.open("concepts", concepts_q=attack)
    assert not view.page.locator("img[src=x]").count()
    view.healthy()


@pytest.mark.parametrize(
    "path",
    [
        "map/{key}/columns/label.f32",
        "map/{key}/categories/frequency.i16",
        "map/{key}/set.u32?ids=%00",
        "map/{key}/atoms/999999999.json",
        "map/nothing/columns/x.f32",
        "map/static/v/atom_map.txt",
        "thumb/{key}/-1.webp",
        "thumb/nothing/1.webp",
    ],
)
def test_routes_answer_404_to_what_is_not_there(server: object, path: str) -> None:
    address = f"{server.url}/atomscope/{path.format(key=server.keys['demo'])}"  # type: ignore[attr-defined]
    with pytest.raises(HTTPError) as refused:
        urlopen(address)
    assert refused.value.code == 404


@pytest.mark.parametrize(
    "path", ["map/{key}/columns/..%2f..%2fatlas.f32", "map/static/v/..%2froutes.py", "thumb/{key}/..%2f..%2fatlas.json"]
)
def test_no_path_leads_out(server: object, path: str) -> None:
    address = f"{server.url}/atomscope/{path.format(key=server.keys['demo'])}"  # type: ignore[attr-defined]
    try:
        with urlopen(address) as answer:
            assert b"<title>Streamlit</title>" in answer.read()  # an unknown address is the dashboard itself
    except HTTPError as error:
        assert error.code in (400, 404)
