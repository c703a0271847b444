"""The Compare page: which SAEs stand side by side, what is drawn of them, and what the address does."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.opened import atlases
from app.pages.compare import charts as compare_charts
from app.pages.compare import view as compare_view
from app.pages.compare.saes import ComparedSAE, compared_saes
from app.pages.compare.worker import SAEOverlap
from app.ui import browser
from engine.atlas import Atlas
from engine.atlas.format.measured import record
from engine.inspection.one_sae import ThroughSAE, through_sae
from engine.metrics.matching import NearestAtoms
from engine.sae import SparsemaxConfig, TopKConfig, save_sae
from engine.sae.registry import build_sae

FIGURES = {
    "fvu": 0.05,
    "l0_mean": 16.0,
    "l0_quantiles": {"0.05": 4, "0.5": 15, "0.95": 32},
    "dead_share": 0.0,
    "monosemanticity": 0.65,
    "topn": {
        "threshold": 0.2,
        "ranked_on": "train",
        "on": {"1": 0.1, "5": 0.4, "10": 0.5, "50": 0.7, "all": 0.8},
        "off": {"1": 0.79, "5": 0.7, "10": 0.6, "50": 0.3, "all": 0.01},
    },
    "fidelity": {"original": {"accuracy": 0.85}, "spliced": {"accuracy": 0.8}},
}


@pytest.fixture
def pair(atlas_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Atlas]:
    """An atlas of two SAEs, with real weights and measured figures."""
    folder = tmp_path / "two"
    shutil.copytree(atlas_folder, folder)
    meta = json.loads((folder / "atlas.json").read_text())
    width, atoms = 24, int(meta["counts"]["atoms"])
    save_sae(build_sae(SparsemaxConfig(d_model=width, n_atoms=atoms)), folder / "sae")
    save_sae(build_sae(TopKConfig(d_model=width, n_atoms=atoms, k=4)), folder / "baselines" / "topk")
    meta["measured"] = {"test": FIGURES | {"baselines": {"topk": FIGURES | {"fvu": 0.04, "l0_mean": 4.0}}}}
    (folder / "atlas.json").write_text(json.dumps(meta))
    monkeypatch.setenv(atlases.VARIABLE, str(folder))
    atlases.forget()
    yield next(iter(atlases.atlases().values()))
    atlases.forget()


def _page() -> None:
    from app.pages.compare import page as compare

    compare.page()


def _run(**query: str) -> AppTest:
    test = AppTest.from_function(_page, default_timeout=30)
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    end = time.monotonic() + 20
    while "compare" in test.session_state and test.session_state["compare"].active and time.monotonic() < end:
        time.sleep(0.05)
    return test.run()


def _html(test: AppTest) -> str:
    assert not test.exception, test.exception
    return "".join(browser.unpack(element.proto.bytes)["html"] for element in test.get("bidi_component"))


def test_rivals_are_the_own_sae_and_those_beside_it(pair: Atlas) -> None:
    own, beside = compared_saes(pair)
    assert (own.key, beside.key) == ("sparsemax", "topk")
    assert own.atlas is pair and beside.atlas is None
    assert (own.figures["fvu"], beside.figures["fvu"], own.split) == (0.05, 0.04, "test")


def test_the_page_draws_figures_curves_and_matches(pair: Atlas) -> None:
    html = _html(_run())
    assert "What sparsity buys" in html and "Sparsity as guidance" in html and "K = 16" in html
    assert "How concentrated a class is" in html and "sparsemax in topk" in html
    assert html.count("<h2") >= 4


def test_figures_written_under_a_running_server_are_shown(pair: Atlas) -> None:
    """``atomscope evaluate --write`` in another process: nobody clears a cache, and the page has the new figures."""
    before = _html(_run())
    assert ">0.05<" in before and ">0.0123<" not in before
    elsewhere = Atlas.open(pair.path)
    record(elsewhere, "test", {"sparsemax": FIGURES | {"fvu": 0.0123}, "topk": FIGURES | {"fvu": 0.0456}})
    after = _html(_run())
    assert ">0.0123<" in after and ">0.0456<" in after and ">0.05<" not in after


def test_the_address_chooses_and_a_wrong_name_is_told(pair: Atlas) -> None:
    test = _run(saes="topk,sparsemax")
    assert test.multiselect[0].value == ["topk", "sparsemax"]
    assert "topk in sparsemax" in _html(test)
    test = _run(saes="../../etc")
    assert test.multiselect[0].value == ["sparsemax", "topk"] and "saes" not in test.query_params
    test.multiselect[0].set_value(["topk"]).run()
    assert test.query_params["saes"] in ("topk", ["topk"])


def test_one_sae_has_nothing_to_compare_with(shown: Atlas) -> None:
    if len(compared_saes(shown)) > 1:
        pytest.skip("the synthetic atlas brings baselines")
    test = _run()
    assert not test.exception and any("--baseline" in code.value for code in test.code)


def test_what_was_not_measured_is_told_and_nothing_is_invented(pair: Atlas) -> None:
    own, beside = compared_saes(pair)
    bare = replace(beside, figures={})
    assert "Not measured yet: topk" in compare_view.trade_off([own, bare], [own, bare])
    assert "–" in compare_view.figures([own, bare])
    assert compare_view.topn([bare]) is None
    none = [replace(own, figures={}), bare]
    assert "no SAE here has been measured" in compare_view.trade_off(none, none)


def test_the_best_of_a_row_is_bold_and_names_are_escaped(pair: Atlas) -> None:
    own, beside = compared_saes(pair)
    html = compare_view.figures([own, replace(beside, key="<b>x")])
    fvu = html[html.index(">FVU<") :].split("</tr>")[0]
    assert "as-best" not in fvu.split("<td")[1] and "as-best" in fvu.split("<td")[2]
    assert "&lt;b&gt;x" in html and "<b>x" not in html


def test_a_picture_through_an_sae_adds_up() -> None:
    torch.manual_seed(0)
    sae = build_sae(TopKConfig(d_model=12, n_atoms=40, k=3)).eval()
    x = torch.randn(1 + 9, 12)
    sight = through_sae("topk", sae, x, 1, (3, 3))
    assert sight.support.tolist() == [3] * 10
    with torch.no_grad():
        error = (x - sae.decode(sae.encode(x))).square().sum() / (x - x.mean(0)).square().sum()
    assert sight.unexplained == pytest.approx(float(error), rel=1e-5)
    assert len(sight.strongest) == len(sight.shares) == 6 and sight.shares == sorted(sight.shares, reverse=True)
    assert 0 < sum(sight.shares) <= 1 + 1e-6
    assert set(sight.strongest) <= set(sight.encoded.atoms.tolist())


def test_sights_stand_side_by_side_on_one_scale(pair: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import state

    monkeypatch.setattr(state, "atlas", lambda: pair)
    monkeypatch.setattr(state, "has_page", lambda name: True)
    own, beside = compared_saes(pair)
    random = np.random.default_rng(0)

    def sight(key: str, most: int) -> ThroughSAE:
        support = random.integers(1, most, pair.n_positions)
        from engine.inspection.encoding import collect

        crow = np.concatenate([[0], np.cumsum(np.ones(pair.n_positions, int))])
        seen = collect(crow, np.zeros(pair.n_positions, int), np.ones(pair.n_positions), pair.prefix, pair.grid, "live")
        return ThroughSAE(key, support, 0.25, seen, [0], [1.0])

    html = compare_view.side_by_side(pair, [own, beside], 0, [sight("sparsemax", 30), sight("topk", 5)])
    assert html.count("data:image/png") == 4 and "25.0%" in html and f"atom={0}" in html
    waiting = compare_view.side_by_side(pair, [own, beside], 0, [])
    assert waiting.count("not looked at yet") == 2 and "data:image/png" not in waiting


def test_matches_name_both_kinds(pair: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import state

    monkeypatch.setattr(state, "atlas", lambda: pair)
    monkeypatch.setattr(state, "has_page", lambda name: True)
    own, beside = compared_saes(pair)
    cosine = np.linspace(0, 1, own.n_atoms, dtype=np.float32)
    html = compare_view.matches(pair, [own, beside], [SAEOverlap("topk", NearestAtoms(np.arange(own.n_atoms), cosine))])
    assert "Found by all" in html and "Found by sparsemax alone" in html and ">30%<" in html


@pytest.mark.parametrize("count", [1, 4])
def test_charts_have_names_tables_and_no_nan(count: int) -> None:
    points: list[Any] = [
        compare_charts.Point(f"sae {i}", 2.0**i, 1.0, 2.0 ** (i + 1), 0.1 * i, i) for i in range(count)
    ]
    html = compare_charts.trade_off(points, ("sparsemax", 4.0))
    assert "aria-label" in html and "nan" not in html and html.count("as-s0") == 1
    curves = compare_charts.curves([("a", {"1": 0.5, "all": 0.9})], ("1", "5", "all"), "x", "y", ("model", 0.95))
    assert "50.0%" in curves and "–" in curves and "nan" not in curves


def test_a_rival_without_a_readable_config_is_left_out(pair: Atlas) -> None:
    (pair.path / "baselines" / "topk" / "config.json").write_text("{")
    assert [sae.key for sae in compared_saes(pair)] == ["sparsemax"]
    assert isinstance(compared_saes(pair)[0], ComparedSAE)


def test_names_of_neighbours_do_not_cover_each_other() -> None:
    points = [compare_charts.Point(f"sae-{i}", 16 + 0.3 * i, 4.0, 32.0, 0.05 + 0.0003 * i, i) for i in range(4)]
    # Two far ones stretch the axes, so that the dots of the others all but coincide.
    points += [compare_charts.Point(f"far-{i}", 400.0 * i + 1, 1.0, 500.0, 0.9 * i, 4 + i) for i in range(2)]
    html = str(compare_charts.trade_off(points, None))
    boxes = []
    for tag, name in re.findall(r"<text ([^>]*as-name[^>]*)>([^<]+)</text>", html):
        x, y = (float(re.findall(rf"\b{axis}='([0-9.]+)'", tag)[0]) for axis in "xy")
        left = x - 6.6 * len(name) if "text-anchor='end'" in tag else x
        boxes.append((left, y - 11, left + 6.6 * len(name), y + 2))
    assert len(boxes) == 6
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] + 0.11 or a[0] + 0.11 >= b[2] or a[3] <= b[1] + 0.11 or a[1] + 0.11 >= b[3]
