"""Terms from captions, and labels for atoms and clusters."""

from __future__ import annotations

import numpy as np
import pytest

from engine.atlas.build.naming.names import disambiguate, name_atoms, name_clusters
from engine.atlas.build.naming.scores import RankedNames, log_odds
from engine.atlas.build.naming.words import collect_terms
from engine.atlas.format.writer import Exemplars


def carried(
    captions: list[str], keywords: list[list[str]] | None = None, labels: list[str] | None = None
) -> list[set[str]]:
    """The terms of each item."""
    n = len(captions)
    terms = collect_terms(captions, keywords or [[]] * n, labels or [""] * n)
    dense = terms.presence.toarray() > 0
    return [{terms.names[i] for i in np.flatnonzero(row)} for row in dense]


def test_terms_are_words_pairs_keywords_and_labels() -> None:
    found = carried(
        ["A red apple on the table.", "Red apples, a photo", "an APPLE's core"],
        [["fruit"], ["Fruit"], []],
        ["food/fruit_bowl", "", "food/fruit_bowl"],
    )
    assert found[0] == {"red", "apple", "red apple", "fruit", "bowl", "fruit bowl"}
    assert found[1] == {"red", "apple", "red apple", "fruit"}
    assert found[2] == {"apple", "fruit", "bowl", "fruit bowl"}


def test_pairs_do_not_reach_over_stop_words() -> None:
    assert "apple table" not in carried(["apple on table"] * 2)[0]


@pytest.mark.parametrize(
    ("plural", "singular"),
    [("birds", "bird"), ("berries", "berry"), ("leaves", "leaf"), ("boxes", "box"), ("horses", "horse")],
)
def test_a_plural_becomes_the_singular_that_occurs(plural: str, singular: str) -> None:
    assert carried([plural, singular]) == [{singular}, {singular}]


@pytest.mark.parametrize("word", ["glass", "bus", "iris", "scissors"])
def test_words_that_only_look_plural_stay(word: str) -> None:
    assert carried([word, word, "glas", "bu"])[0] == {word}


def test_words_of_other_scripts_are_words() -> None:
    assert "baum" in carried(["ein grüner Baum", "der Baum"])[0]


def exemplars(items: list[list[int]], values: list[list[float]] | None = None) -> Exemplars:
    """Top exemplars of some atoms."""
    atom = np.repeat(np.arange(len(items)), [len(i) for i in items]).astype(np.int32)
    item = np.array([i for row in items for i in row], np.int32)
    value = np.array([v for row in values or [[1.0] * len(r) for r in items] for v in row], np.float32)
    zeros = np.zeros(len(atom), np.int16)
    none = np.zeros(0)
    return Exemplars(atom, zeros.astype(np.int8), zeros, item, zeros, value, value, np.zeros(1, np.int64), none, none)  # type: ignore[arg-type]


CAPTIONS = [f"a {c} {t}" for c in ("red", "blue", "green", "old") for t in ("apple", "bird", "car", "door")] * 3


def test_an_atom_is_named_by_what_its_exemplars_share() -> None:
    terms = collect_terms(CAPTIONS, [[]] * len(CAPTIONS), [""] * len(CAPTIONS))
    birds = [i for i, caption in enumerate(CAPTIONS) if "bird" in caption]
    red = [i for i, caption in enumerate(CAPTIONS) if "red" in caption]
    red_cars = [i for i, caption in enumerate(CAPTIONS) if caption == "a red car"]
    mixed = list(range(0, 12, 1))
    names, _ = name_atoms(exemplars([birds, red, red_cars, mixed, []]), terms, 5)
    assert names.label[:3] == ["bird", "red", "red car"]
    assert names.label[3:] == ["", ""], "no shared word, no name"


def test_exemplars_count_by_their_activation() -> None:
    terms = collect_terms(CAPTIONS, [[]] * len(CAPTIONS), [""] * len(CAPTIONS))
    birds = [i for i, caption in enumerate(CAPTIONS) if "bird" in caption][:6]
    cars = [i for i, caption in enumerate(CAPTIONS) if "car" in caption][:6]
    names, _ = name_atoms(exemplars([birds + cars] * 2, [[9.0] * 6 + [1.0] * 6, [1.0] * 6 + [9.0] * 6]), terms, 2)
    assert names.label == ["bird", "car"]


def test_items_without_words_name_nothing() -> None:
    terms = collect_terms([""] * 5, [[]] * 5, [""] * 5)
    names, share = name_atoms(exemplars([[0, 1, 2], [3]]), terms, 2)
    assert names.label == ["", ""] and share.shape == (2, 0)
    assert name_clusters(np.array([0, 0], np.int32), share, terms.names).label == [""]


def test_clusters_are_named_by_what_their_atoms_share() -> None:
    terms = collect_terms(CAPTIONS, [[]] * len(CAPTIONS), [""] * len(CAPTIONS))
    rows = []
    for word in ("bird", "car"):
        members = [i for i, caption in enumerate(CAPTIONS) if word in caption]
        rows += [members[k : k + 5] for k in range(6)]
    _, share = name_atoms(exemplars(rows), terms, len(rows))
    cluster = np.repeat([0, 1], 6).astype(np.int32)
    assert name_clusters(cluster, share, terms.names).label == ["bird", "car"]
    assert name_clusters(np.full(12, -1, np.int32), share, terms.names).label == []


def test_clusters_of_one_name_are_told_apart() -> None:
    names = RankedNames(
        ["face", "face", "", "face", "face", ""], [["eye"], ["eye", "hair"], [], ["eye", "nose"], [], []]
    )
    assert disambiguate(names).label == ["face", "face, eye", "", "face, nose", "face", ""]
    assert names.candidates == [["eye"], ["hair"], [], ["eye"], [], []]


def test_log_odds_are_zero_without_contrast_and_grow_with_it() -> None:
    document = np.array([10.0, 10.0, 10.0])
    odds, error = log_odds(np.array([1.0, 5.0, 9.0]), 10, document, 100)
    z = odds / error
    assert z[0] == pytest.approx(0, abs=0.2)
    assert z[0] < z[1] < z[2]
