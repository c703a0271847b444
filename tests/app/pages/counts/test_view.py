"""Activation counts as they are drawn."""

from __future__ import annotations

import pytest

from app.pages.counts import figures as counts
from app.pages.counts import view as counts_view
from engine.atlas import Atlas


def test_the_explorer_lists_the_support_of_a_patch(linked: Atlas) -> None:
    item, position = int(linked.sampled_items[1]), linked.prefix + 20
    markup = counts_view.explorer(linked, item, position, painted=True)
    atoms, _ = linked.token_codes(item, position) or ([], [])
    assert f"{len(atoms)} atoms" in markup and len(atoms) == linked.support[item, position]
    for atom in list(atoms)[: counts_view.SUPPORT_SHOWN]:
        assert f"/item-heat/{linked.key}/{item}/{atom}.png" in markup
    assert "row 2, column 7" in markup and f"/support/{linked.key}/{item}.png" in markup


def test_dropping_tau_lets_the_nearest_in(linked: Atlas) -> None:
    item, position = int(linked.sampled_items[0]), linked.prefix + 3
    entrants = linked.entrants(item, position)
    assert entrants is not None
    drop = float(entrants["gap"].iloc[2])
    entered = int((entrants["gap"] <= drop).sum())
    markup = counts_view.explorer(linked, item, position, True, drop)
    size = int(linked.support[item, position])
    assert f"{entered} more, support {size} → {size + entered}" in markup
    assert markup.count("class='as-in'") == entered
    assert "class='as-in'" not in counts_view.explorer(linked, item, position, True, 0.0)


def test_an_item_without_codes_says_so(linked: Atlas) -> None:
    outside = next(item for item in range(linked.n_items) if linked.sampled_row(item) is None)
    assert "this one is not among them" in counts_view.explorer(linked, outside, 0, True)


@pytest.mark.parametrize(("position", "name"), [(0, "CLS token"), (1, "row 1, column 1"), (196, "row 14, column 14")])
def test_places_have_names(linked: Atlas, position: int, name: str) -> None:
    assert counts_view.place_name(linked, position) == name


def test_both_halves_name_their_count(linked: Atlas) -> None:
    assert "mean support size" in counts_view.support_figures(linked)
    assert "By position" in counts_view.distributions(linked, "") and "CLS" in counts_view.distributions(linked, "")
    half = counts_view.firing_half(linked, int(counts.firing(linked).atoms.argmax()))
    assert "median firing count" in half and "busiest 1% of atoms" in half and "as-on" in half


def test_items_without_patches_are_rows_of_positions(linked: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = linked.meta["backbone"] | {"grid": None, "prefix": 0}
    monkeypatch.setitem(linked.meta, "backbone", backbone)
    markup = counts_view.explorer(linked, int(linked.sampled_items[0]), 4, painted=False)
    assert markup.count("as-square") >= linked.n_positions and "position 4" in markup
