"""Finding atoms by words, against a plain recomputation."""

from __future__ import annotations

import pytest

from engine.atlas import Atlas, search


def test_search_finds_labels_and_captions_of_exemplars(shown: Atlas) -> None:
    found = search.find_atoms(shown, "BLUE ring", limit=shown.n_atoms)
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
    assert search.find_atoms(shown, words) == []
