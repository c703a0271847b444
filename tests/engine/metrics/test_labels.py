"""Label entropy: float64 oracle and the values it must take."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics import label_entropy, top_label


def test_a_single_label_scores_exactly_zero() -> None:
    assert label_entropy(["cat"] * 5, [0.1, 0.7, 3.0, 1.0, 0.3]) == 0
    assert math.copysign(1, label_entropy(["cat"], [1.0])) == 1


def test_even_labels_score_log2_of_their_number() -> None:
    assert label_entropy(list("abcdefgh"), [0.3] * 8) == pytest.approx(3)


def test_weights_matter() -> None:
    assert label_entropy(["a", "b"], [3.0, 1.0]) == pytest.approx(0.811278, abs=1e-6)


def test_unlabelled_and_non_positive_exemplars_do_not_count() -> None:
    assert label_entropy(["a", "", "b", "b"], [1.0, 9.0, 0.0, -2.0]) == 0
    assert math.isnan(label_entropy(["", ""], [1.0, 1.0])) and math.isnan(label_entropy([], []))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0.01, 100)), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_matches_the_definition(pairs: list[tuple[str, float]]) -> None:
    total = math.fsum(value for _, value in pairs)
    shares = [math.fsum(v for name, v in pairs if name == label) / total for label in "abcd"]
    wanted = -math.fsum(p * math.log2(p) for p in shares if p > 0)
    labels, values = zip(*pairs, strict=True)
    assert label_entropy(labels, values) == pytest.approx(wanted, abs=1e-9)
    label, share = top_label(labels, values)
    assert share == pytest.approx(max(shares)) and shares["abcd".index(label)] == pytest.approx(max(shares))


def test_top_label_breaks_ties_by_the_alphabet() -> None:
    assert top_label(["b", "a"], [1.0, 1.0]) == ("a", 0.5)
    assert top_label(["", ""], [1.0, 1.0])[0] == ""
