"""The first exemplars of all atoms, against the reader of single atoms."""

from __future__ import annotations

from engine.atlas import Atlas, top_exemplars


def test_the_first_items_are_those_of_the_exemplars(shown: Atlas) -> None:
    items = top_exemplars.top_items(shown)
    for atom in (0, 17, shown.n_atoms - 1):
        expected = shown.exemplars(atom, "top")["item"].tolist()[: top_exemplars.PREVIEW]
        assert items[atom].tolist() == expected + [-1] * (top_exemplars.PREVIEW - len(expected))


def test_their_positions_are_those_of_the_exemplars(shown: Atlas) -> None:
    positions = top_exemplars.top_positions(shown)
    for atom in (0, 17, shown.n_atoms - 1):
        expected = shown.exemplars(atom, "top")["position"].tolist()[: top_exemplars.PREVIEW]
        assert positions[atom].tolist() == expected + [-1] * (top_exemplars.PREVIEW - len(expected))
