"""Every page, light and dark, by address and by navigation: it loads, says what it is, and complains about nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.conftest import View

pytestmark = pytest.mark.browser

PAGES = {
    "": None,
    "counts": "Activation counts",
    "concepts": "Concepts",
    "map": "Dictionary map",
    "compare": "Compare",
    "retrieval": "Retrieval",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_page_loads(new_view: Callable[..., View], path: str, theme: str) -> None:
    view = new_view(theme).open(path)
    title = view.page.locator("h1").first
    title.wait_for()
    if PAGES[path]:
        assert PAGES[path] in title.inner_text()
    if path in ("", "map"):
        view.map_ready()
    assert (luminance(view) < 0.3) == (theme == "dark")
    unnamed = view.page.locator(".as-root img:not([alt]), .as-root svg[role=img]:not([aria-label])")
    assert not unnamed.count(), unnamed.first.evaluate("e => e.outerHTML")
    view.healthy()


def luminance(view: View) -> float:
    style = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    red, green, blue = view.page.evaluate(f"{style}.match(/[0-9.]+/g).slice(0, 3).map(Number)")
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def test_every_page_is_one_click_away(view: View) -> None:
    view.open("")
    for title in ("Activation counts", "Concepts", "Dictionary map", "Compare", "Retrieval", "Overview"):
        view.page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        view.settle()
        view.page.locator("h1").first.wait_for()
        view.healthy()


def test_pictures_are_seen(view: View) -> None:
    view.open("").page.locator(".as-concept img").first.wait_for()
    view.page.wait_for_function(
        "[...document.querySelectorAll('.as-concept img')].every(i => i.complete && i.naturalWidth > 0)"
    )
    view.open("concepts").page.locator(".as-pic img").first.wait_for()
    view.page.wait_for_function("document.querySelector('.as-pic img').naturalWidth > 0")
    view.healthy()


def test_nothing_is_fetched_from_elsewhere(view: View) -> None:
    asked: list[str] = []
    view.page.on("request", lambda request: asked.append(request.url))
    for path in PAGES:
        view.open(path)
        if path == "map":
            view.map_ready()
    abroad = [
        url
        for url in asked
        if not url.startswith((view.server.url, view.server.url.replace("http", "ws"), "data:", "blob:"))
    ]
    assert not abroad, abroad


def test_no_chart_can_be_shared_to_a_cloud(view: View) -> None:
    view.open("map").map_ready()
    titles = view.map.locator(".modebar-btn").evaluate_all("buttons => buttons.map(b => b.dataset.title)")
    assert titles
    assert not [title for title in titles if "hare" in title or "loud" in title or "dit" in title]
    assert view.page.evaluate("document.querySelector('.atom-map .plot')._context.plotlyServerURL") == ""


def test_first_page_links_to_atoms(view: View) -> None:
    view.open("")
    card = view.page.locator(".as-concept").first
    name = card.locator("b").inner_text()
    atom = (card.get_attribute("href") or "").rpartition("atom=")[2]
    card.click()
    view.page.wait_for_url("**/concepts?**")
    view.settle()
    assert view.query["atom"] == atom
    assert name in view.page.locator("[data-testid=stMain]").inner_text()
    view.healthy()


def test_scatter_opens_the_atom_clicked(view: View) -> None:
    view.open("").map_ready()
    view.map.scroll_into_view_if_needed()
    view.page.wait_for_timeout(300)
    atom = view.lonely()
    x, y = view.place(atom)
    view.page.mouse.move(x - 1, y)
    view.page.mouse.move(x, y)
    view.page.locator(".atom-map .card").wait_for()
    view.page.mouse.click(x, y)
    view.page.wait_for_url("**/concepts?**")
    view.settle()
    assert view.query["atom"] == str(atom)
    view.healthy()
