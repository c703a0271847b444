"""Charts: the marks carry the numbers."""

from __future__ import annotations

import re

import numpy as np

from app import ui
from app.ui.charts import linear_ticks, log_ticks


def _tips(markup: str) -> list[str]:
    return re.findall(r"data-tip='([^']*)'", markup)


def test_a_histogram_draws_every_filled_bin_and_no_empty_end() -> None:
    markup = ui.histogram([0, 1, 2, 3, 4, 5], [0, 7, 0, 1200, 0], "alt", "name", "x")
    assert _tips(markup) == ["1: 7", "3: 1,200"]
    assert markup.count("<rect") == 2


def test_a_histogram_of_nothing_is_drawn_empty() -> None:
    assert "<rect" not in ui.histogram([0.0, 0.5, 1.0], [0, 0], "alt", "name", "x")


def test_bins_of_any_edges_are_equally_wide() -> None:
    markup = ui.histogram(np.geomspace(0.01, 100, 9), np.ones(8, int), "alt", "name", "x")
    widths = re.findall(r"<rect [^>]*width='([^']*)'", markup)
    assert len(widths) == 8 and len(set(widths)) == 1


def test_clickable_bins_can_be_reached_by_keyboard() -> None:
    markup = ui.histogram([0, 1, 2], [3, 4], "alt", "name", "x", on="bin")
    assert markup.count("role='button'") == markup.count("tabindex='0'") == markup.count("data-on='bin'") == 2


def test_ticks_are_round_and_inside() -> None:
    assert linear_ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert linear_ticks(0.3, 2.2, 4) == [0.5, 1, 1.5, 2]
    assert linear_ticks(0, 14, 10, whole=True) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert linear_ticks(1, 1) == [1]
    assert log_ticks(0.3, 40) == [0.5, 1, 2, 5, 10, 20]


def test_range_rows_say_what_they_show() -> None:
    markup = ui.range_rows([("cats", 1, 2, 3, 4, 5, 12)], "alt", "name", "atoms", on="class", selected="cats")
    assert "cats: median 3, half within 2 to 4, 12 items" in markup
    assert "as-row as-on" in markup and "data-value='cats'" in markup


def test_the_colour_scale_clips() -> None:
    assert ui.colour(-5, 0, 1) == ui.colour(0, 0, 1) == "#440154"
    assert ui.colour(9, 0, 1) == "#fde725"
    assert ui.colour(3, 3, 3) == "#440154"


def test_bars_never_pass_their_limit() -> None:
    markup = ui.bars([ui.Bar("a", 2.0, "200%"), ui.Bar("b", 0.5, "50%", "b")], "alt", on="search", limit=1.0)
    assert "width:100.0%" in markup and "width:50.0%" in markup and "200.0" not in markup
    assert markup.count("data-on") == 1
