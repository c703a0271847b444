"""The table of an evaluation: what was measured has a row, what came to nothing a dash, what was not asked for neither."""

from __future__ import annotations

from typing import Any

from engine.evaluation.figures import FIGURES, figure_table


def _rows(saes: dict[str, dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    table = figure_table(saes)
    assert table.header == ("", *saes) and all(len(row) == len(table.header) for row in table.rows)
    return {name.strip(): tuple(cells) for name, *cells in table.rows}


def test_a_figure_that_came_to_nothing_is_a_dash_and_one_that_nobody_has_is_left_out() -> None:
    rows = _rows({"a": {"fvu": 0.25, "label_entropy": None}, "b": {"fvu": 0.5, "dead": 1200}})
    assert rows == {
        "FVU (centred)": ("0.2500", "0.5000"),
        "dead atoms": ("-", "1,200"),
        "label entropy, bits": ("-", "-"),
    }


def test_quantiles_are_written_with_their_shares() -> None:
    assert _rows({"a": {"l0_quantiles": {"0.05": 3, "0.5": 10}}})["L0, quantiles"] == ("5% 3  50% 10",)


def test_a_language_models_fidelity_has_no_row_for_accuracy() -> None:
    loss = {"cross_entropy": 3.5}
    rows = _rows({"a": {"fidelity": {"original": loss, "spliced": loss, "recovered": {"cross_entropy": 0.9}}}})
    assert rows["cross-entropy, nats, original"] == ("3.500",) and rows["recovered cross-entropy"] == ("90.0%",)
    assert not [name for name in rows if "accuracy" in name]


def test_no_figure_is_listed_twice() -> None:
    paths = [figure.path for figure in FIGURES]
    assert len(paths) == len(set(paths))
