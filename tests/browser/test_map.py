"""The dictionary map under the hand: select, mark, search, filter, step, keys, downloads."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import View

pytestmark = pytest.mark.browser


def click_atom(view: View, atom: int) -> None:
    x, y = view.place(atom)
    view.page.mouse.move(x - 1, y)
    view.page.mouse.move(x, y)
    view.page.locator(".atom-map .card").wait_for()
    view.page.mouse.click(x, y)
    view.until("focus", str(atom))
    view.settle()


def test_lasso_fills_the_table_and_the_link(view: View) -> None:
    view.open("map").map_ready()
    view.lasso()
    count = int(view.until("selected", lambda n: int(n) > 3))
    view.settle()
    table = view.page.get_by_test_id("stDataFrame")
    table.wait_for()
    assert f"{count:,}" in view.page.locator(".as-figures").last.inner_text()
    assert view.page.locator(".as-grid figure").count() > 3
    selection = view.query["sel"]
    # Esc clears: table, link and map agree.
    view.map.focus()
    view.page.keyboard.press("Escape")
    view.until("selected", "0")
    view.settle()
    assert "sel" not in view.query
    assert not table.count()
    # The link alone brings the selection back.
    view.open("map", sel=selection).map_ready()
    assert int(view.told("selected")) == count
    view.healthy()


def test_row_marks_the_map_and_map_marks_the_row(view: View) -> None:
    view.open("map").map_ready()
    view.lasso(60)
    view.until("selected", lambda n: int(n) > 3)
    view.settle()
    table = view.page.get_by_test_id("stDataFrame")
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    mount = view.told("mount")
    view.page.mouse.click(box["x"] + 18, box["y"] + 35 * 2.5)  # the check box of the second row
    view.until("marked", "1")
    view.page.mouse.click(box["x"] + 18, box["y"] + 35 * 3.5)
    view.until("marked", "2")
    assert view.told("mount") == mount
    # And back: an atom of the selection clicked on the map leads the table, chosen.
    view.map.scroll_into_view_if_needed()
    atom = view.page.evaluate(
        """() => { const { sets, overlay } = document.querySelector(".atom-map").map, { box } = overlay
          const middle = [box.left + box.width / 2, box.top + box.height / 2]
          const far = a => { const [x, y] = overlay.placeOf(a); return (x - middle[0]) ** 2 + (y - middle[1]) ** 2 }
          return [...sets.selection].filter(a => Number.isFinite(far(a))).sort((a, b) => far(a) - far(b))[0] }"""
    )
    view.map.locator("[data-val=pan]").click()
    x, y = view.place(atom)
    view.page.mouse.move(x - 1, y)
    view.page.mouse.move(x, y)
    view.page.locator(".atom-map .card").wait_for()
    view.page.mouse.click(x, y)
    focus = view.until("focus", lambda value: value != "")
    view.settle()
    first = view.page.get_by_test_id("stDataFrame").locator("table tr[aria-rowindex='2']")
    assert focus in first.inner_text().replace(",", "")
    assert first.get_attribute("aria-selected") == "true"
    view.healthy()


def test_click_opens_the_panel_and_hover_shows_pictures(view: View) -> None:
    view.open("map").map_ready()
    atom = view.lonely()
    x, y = view.place(atom)
    view.page.mouse.move(x - 1, y)
    view.page.mouse.move(x, y)
    card = view.page.locator(".atom-map .card")
    card.locator("img").first.wait_for()
    assert f"#{atom}" in card.inner_text()
    assert "frequency" in card.inner_text()
    view.page.mouse.click(x, y)
    view.until("focus", str(atom))
    view.settle()
    assert view.query["atom"] == str(atom)
    assert f"atom {atom}" in view.page.locator("[data-testid=stMain]").inner_text()
    view.page.locator(".st-key-map_open button").first.click()
    view.page.wait_for_url("**/concepts?**")
    view.settle()
    assert view.query["atom"] == str(atom)
    view.healthy()


def test_step_keeps_zoom_and_mount(view: View) -> None:
    view.open("map").map_ready()
    click_atom(view, view.lonely())
    view.map.focus()
    for _ in range(2):
        view.page.keyboard.press("+")
        view.page.wait_for_timeout(250)
    before, mount, focus = view.told("range"), view.told("mount"), view.told("focus")
    spans = width_and_height(before)
    for _ in range(3):
        near = view.page.locator(".as-atom").first
        near.wait_for()
        near.click()
        focus = view.until("focus", lambda value, old=focus: value != old)
        view.settle()
        view.page.wait_for_timeout(150)
        assert view.told("mount") == mount
        assert width_and_height(view.told("range")) == pytest.approx(spans, rel=1e-3)
        x, y = view.place(int(focus))
        box = view.map.bounding_box()
        assert box and box["x"] <= x <= box["x"] + box["width"] and box["y"] <= y <= box["y"] + box["height"]
    view.healthy()


def width_and_height(text: str) -> list[float]:
    left, right, low, high = map(float, text.split(","))
    return [right - left, high - low]


def test_colours_and_filters_redraw_in_place(view: View) -> None:
    view.open("map").map_ready()
    mount, points, spot = view.told("mount"), int(view.told("points")), view.told("range")
    view.open("map", color="cluster")
    view.map_ready()
    assert view.map.locator(".legend button").count() > 1
    chip = view.map.locator(".legend button").first
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    view.open("map", range="frequency:0.001:")
    view.map_ready()
    fewer = int(view.told("points"))
    assert 0 < fewer < points
    # In place, through a widget: same mount, same zoom.
    view.open("map").map_ready()
    mount, spot = view.told("mount"), view.told("range")
    view.page.get_by_text("cividis", exact=True).click()
    view.settle()
    view.page.wait_for_timeout(600)
    assert view.query["palette"] == "cividis"
    assert (view.told("mount"), view.told("range")) == (mount, spot)
    view.healthy()


def test_theme_and_quick_changes_end_in_the_last_state(view: View) -> None:
    view.open("map").map_ready()
    spot = view.told("range")
    view.page.emulate_media(color_scheme="dark")
    view.page.wait_for_function(
        "document.querySelector('.atom-map .plot')._fullLayout.paper_bgcolor.toLowerCase() !== '#fdfdfc'"
    )
    for atom in range(30, 36):
        view.page.evaluate("atom => document.querySelector('.atom-map').map.send('clicked', atom)", atom)
        view.page.wait_for_timeout(40)
    view.until("focus", "35")
    view.settle()
    assert view.query["atom"] == "35"
    # On a busy machine the change of theme may mount the map anew; what is seen must be the same all the same.
    assert view.told("focus") == "35"
    assert width_and_height(view.told("range")) == pytest.approx(width_and_height(spot), rel=1e-3)
    view.healthy()


def test_search_marks_matches(view: View) -> None:
    view.open("map").map_ready()
    word = view.page.evaluate(
        "document.querySelector('.atom-map').map.clusters.find(c => c.label).label.split(/[ ,]/)[0]"
    )
    find = view.page.get_by_role("searchbox", name="Find")
    find.fill(word)
    find.press("Enter")
    matches = int(view.until("matches", lambda n: int(n) > 0))
    assert f"{matches:,} match" in view.map.locator(".status").inner_text()
    assert view.query["find"] == word
    view.healthy()


def test_keyboard_moves_the_map(view: View) -> None:
    view.open("map", atom=1).map_ready()
    view.map.focus()
    ranges = [view.told("range")]
    for key in ("ArrowRight", "ArrowUp", "+", "-", "0"):
        view.page.keyboard.press(key)
        view.until("range", lambda value: value != ranges[-1])
        ranges.append(view.told("range"))
    assert width_and_height(ranges[3])[0] < width_and_height(ranges[2])[0] < width_and_height(ranges[4])[0] * 1.01
    assert view.told("focus") == "1", "the page must not step while the map has the keys"
    view.page.keyboard.press("Enter")
    view.until("focus", lambda value: value != "1")
    assert view.map.get_attribute("aria-label")
    view.healthy()


def test_cluster_is_selected_from_the_list(view: View) -> None:
    view.open("map").map_ready()
    row = view.page.locator(".as-bars li").first
    size = int(re.sub(r"\D", "", row.locator("em").inner_text()))
    row.click()
    assert int(view.until("selected", lambda n: int(n) > 0)) == size
    assert view.map.locator("svg.paint").get_attribute("data-names") != "0"
    view.healthy()


def test_downloads(view: View, tmp_path: Path) -> None:
    view.open("map").map_ready()
    view.lasso()
    count = int(view.until("selected", lambda n: int(n) > 3))
    view.settle()
    with view.page.expect_download() as csv:
        view.page.get_by_role("button", name="Selection CSV").click()
    csv.value.save_as(tmp_path / "atoms.csv")
    table = pd.read_csv(tmp_path / "atoms.csv")
    assert len(table) == count
    assert {"atom", "label", "frequency", "x", "y"} <= set(table.columns)
    with view.page.expect_download() as file:
        view.page.get_by_role("button", name="Provenance JSON").click()
    file.value.save_as(tmp_path / "map.json")
    document = json.loads((tmp_path / "map.json").read_text("utf-8"))
    assert document["atlas"]["key"] == view.server.keys["demo"]
    assert sorted(document["selection"]) == sorted(table["atom"])
    for kind, magic in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        with view.page.expect_download() as picture:
            view.map.locator(f"[data-title='Download as {kind}']").click()
        picture.value.save_as(tmp_path / kind)
        content = (tmp_path / kind).read_bytes()
        assert content.startswith(magic) and len(content) > 20_000
    view.healthy()
