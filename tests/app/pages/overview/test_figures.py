"""Figures of the Overview: drawn inside their frame, named for screen readers, honest about their numbers."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from app.pages.overview import figures, highlights
from app.pages.overview import numbers as overview_numbers
from engine.atlas import Atlas


def log(rows: int = 500) -> pd.DataFrame:
    step = np.arange(rows)
    held = np.full(rows, np.nan)
    held[::100] = 0.5
    return pd.DataFrame(
        {
            "step": step,
            "tokens": step * 4096.0,
            "loss": 1 / (1 + step),
            "nmse": np.exp(-step / 100),
            "validation_nmse": held,
            "l0": 60 - step / 20,
            "dead": step / 5000,
        }
    )


def test_training_panels_stay_in_their_frame_and_thin_the_line() -> None:
    markup = figures.training_curves(log())
    assert markup.count("<svg") == 3
    paths = re.findall(r"<path d=.M([^\"']+)", markup)
    assert len(paths) >= 3
    for path in paths:
        places = [tuple(map(float, pair.split())) for pair in path.split("L")]
        assert 2 <= len(places) <= figures.POINTS
        assert all(0 <= x <= figures.WIDTH and 0 <= y <= figures.HEIGHT for x, y in places)
        assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert markup.count("as-held") == 5
    assert markup.count("aria-label") == 3


def test_columns_that_are_missing_or_empty_have_no_panel() -> None:
    table = log().drop(columns=["l0"])
    table["dead"] = np.nan
    markup = figures.training_curves(table)
    assert "normalised MSE" in markup and "loss" in markup
    assert "dead atoms" not in markup and "L0" not in markup


def test_a_flat_or_infinite_column_is_drawn_without_fault() -> None:
    table = log(20).assign(nmse=0.5, dead=0.0, l0=np.inf)
    markup = figures.training_curves(table)
    assert "nan" not in markup and "inf" not in markup.replace("info", "")


def test_support_histogram_counts_every_token() -> None:
    sizes = np.random.default_rng(0).poisson(12, (50, 20)).astype(np.uint16)
    markup = figures.support_histogram(sizes)
    columns = markup[markup.index("as-columns") :]
    counted = [int(n.replace(",", "")) for n in re.findall(r"data-tip=.[^:]*: ([\d,]+)", columns)]
    assert sum(counted) == sizes.size
    assert f"median {np.median(sizes):.0f}" in markup
    assert "holds no tokens" in figures.support_histogram(np.zeros((0, 4), np.uint16))


def test_striking_atoms_are_live_clear_and_different(shown: Atlas) -> None:
    atoms = highlights.striking(shown, 6)
    rows = shown.atoms.iloc[atoms]
    assert (rows["status"] == "live").all()
    assert rows["label"].is_unique
    assert (rows["item_count"] >= highlights.LEAST_ITEMS).all()


def test_headline_says_where_each_number_comes_from(shown: Atlas) -> None:
    markup = overview_numbers.headline(shown)
    assert markup.count("<dt") == 5
    assert "test" in markup and "whole corpus" in markup


def test_comparison_only_with_other_saes(shown: Atlas) -> None:
    assert overview_numbers.comparison(shown) is None
    meta = shown.meta | {
        "measured": {
            "test": {
                "fvu": 0.2,
                "l0_mean": 17.5,
                "baselines": {"topk": {"fvu": 0.25, "l0_mean": 17.0, "dead_share": None}},
            }
        }
    }
    markup = overview_numbers.comparison(Atlas(shown.path, meta))
    assert markup is not None
    assert "topk" in markup and "0.25" in markup and "17.5" in markup
    assert "dead atoms" not in markup
