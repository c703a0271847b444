"""Concepts and Activation counts under the hand: step, search, enlarge, click a patch, take the sheet away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.conftest import View

pytestmark = pytest.mark.browser


def test_arrow_keys_step_and_the_page_follows(view: View) -> None:
    view.open("concepts", atom=30)
    body = view.page.locator(".as-atom-page")
    body.wait_for()
    for key, atom in (("ArrowRight", 31), ("ArrowRight", 32), ("ArrowLeft", 31)):
        view.page.keyboard.press(key)
        view.page.wait_for_url(f"**atom={atom}**")
        body.locator(".as-id", has_text=f"atom {atom}").first.wait_for()
        view.settle()
    assert body.locator(".as-pic img").count() > 2
    view.healthy()


def test_quick_steps_end_in_one_atom(view: View) -> None:
    view.open("concepts", atom=30)
    view.page.locator(".as-atom-page").wait_for()
    for _ in range(5):
        view.page.keyboard.press("ArrowRight")
        view.page.wait_for_timeout(60)
    view.page.wait_for_function("!location.search.includes('atom=30')")
    view.page.wait_for_timeout(500)
    view.settle()
    atom = int(view.query["atom"])
    assert 30 < atom <= 35
    view.page.locator(".as-atom-page .as-id", has_text=f"atom {atom}").first.wait_for()
    view.healthy()


def test_search_by_number_and_by_word(view: View) -> None:
    view.open("concepts", atom=1)
    box = view.page.get_by_role("searchbox", name="Search")
    box.fill("77")
    box.press("Enter")
    view.page.wait_for_url("**atom=77**")
    view.settle()
    word = view.page.locator(".as-atom-page h2").first.inner_text().split()[0]
    box.fill(word)
    box.press("Enter")
    view.page.locator(".as-atoms .as-atom").first.wait_for()
    view.settle()
    assert view.query["concepts_q"] == word
    view.healthy()


def test_take_away_downloads(view: View) -> None:
    view.open("concepts", atom=30)
    view.page.locator(".as-takeaway a").first.wait_for()
    for words, start in (("sheet PNG", b"\x89PNG"), ("exemplars CSV", b"atom,"), ("provenance JSON", b"{")):
        with view.page.expect_download() as download:
            view.page.locator(".as-takeaway a", has_text=words).click()
        content = download.value.path().read_bytes()
        assert content.startswith(start)
    assert json.loads(content)["atom"]["atom"] == 30
    view.healthy()


def test_small_map_leads_to_the_map(view: View) -> None:
    view.open("concepts", atom=30)
    view.page.locator("a .as-minimap").click()
    view.page.wait_for_url("**/map?**")
    view.settle().map_ready()
    assert view.told("focus") == "30"
    view.page.go_back()
    view.page.wait_for_url("**/concepts?**")
    view.page.locator(".as-atom-page").wait_for()
    view.healthy()


def test_patch_of_an_input_opens(view: View) -> None:
    view.open("counts")
    picture = view.page.locator("[data-on=item]").first
    picture.wait_for()
    item = picture.get_attribute("data-value")
    picture.click()
    view.page.wait_for_url(f"**item={item}**")
    view.settle()
    patches = view.page.locator("[data-on=patch][data-grid]").first
    patches.click(position={"x": 20, "y": 20})
    view.page.wait_for_url("**position=**")
    view.settle()
    assert view.query["item"] == item
    view.healthy()


def test_firing_counts_half(view: View) -> None:
    view.open("counts")
    view.page.locator(".st-key-counts_half").get_by_text("Firing count per atom").click()
    view.settle()
    view.page.get_by_test_id("stDataFrame").wait_for()
    view.healthy()
