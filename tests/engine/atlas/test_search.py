"""Stepping order and search, against a plain recomputation."""

from __future__ import annotations

import numpy as np
import pytest

from engine.atlas import Atlas, search

ALL = ("live", "rare", "dense", "dead")


@pytest.mark.parametrize("by", list(search.ORDERS))
def test_an_order_holds_every_atom_once_and_is_sorted(shown: Atlas, by: str) -> None:
    sequence = search.order(shown, by, ALL)
    assert sorted(sequence.atoms) == list(range(shown.n_atoms))
    assert (sequence.atoms[sequence.place] == np.arange(shown.n_atoms)).all()
    _, column, largest_first = search.ORDERS[by]
    if column is not None:
        values = shown.atoms[column].to_numpy(float)[sequence.atoms]
        known = values[~np.isnan(values)]
        assert (np.diff(known) <= 0).all() if largest_first else (np.diff(known) >= 0).all()
        assert np.isnan(values[len(known) :]).all()  # dead atoms have no figure: they come last


def test_stepping_goes_round_and_comes_back_from_outside(shown: Atlas) -> None:
    sequence = search.order(shown, "id", ("live",))
    first, last = int(sequence.atoms[0]), int(sequence.atoms[-1])
    assert search.step(sequence, last, 1) == first
    assert search.step(sequence, first, -1) == last
    dead = int(shown.atoms.index[shown.atoms["status"] == "dead"][0])
    assert search.step(sequence, dead, 1) == first
    assert search.step(search.order(shown, "id", ()), 5, 1) == 5


def test_the_first_items_are_those_of_the_exemplars(shown: Atlas) -> None:
    items = search.top_items(shown)
    for atom in (0, 17, shown.n_atoms - 1):
        expected = shown.exemplars(atom, "top")["item"].tolist()[: search.PREVIEW]
        assert items[atom].tolist() == expected + [-1] * (search.PREVIEW - len(expected))


def test_search_finds_labels_and_captions_of_exemplars(shown: Atlas) -> None:
    found = search.find(shown, "BLUE ring", limit=shown.n_atoms)
    text = (shown.items["caption"] + " " + shown.items["label"]).str.lower()
    hit = (text.str.contains("blue") & text.str.contains("ring")).to_numpy()
    for atom in range(shown.n_atoms):
        row = shown.atoms.iloc[atom]
        names = " ".join([row["label"], row["top_label"], *row["label_candidates"]]).lower()
        by_label = "blue" in names and "ring" in names
        matches = int(hit[shown.exemplars(atom, "top")["item"]].sum())
        entry = next((f for f in found if f.atom == atom), None)
        assert (entry is not None) == (by_label or matches >= 2)
        if entry is not None:
            assert entry.reason == ("label" if by_label else "captions")
            assert entry.exemplars == matches


@pytest.mark.parametrize("words", ["", "   ", "no such thing at all", "[", "%", "\\", "(("])
def test_odd_words_find_nothing_and_break_nothing(shown: Atlas, words: str) -> None:
    assert search.find(shown, words) == []
