"""Events made into one state: at every moment of a search, not only at its end."""

from __future__ import annotations

import pytest

from app.pages.retrieval.outcome import outcome_of, waiting
from engine.retrieval.search.events import Done, PoolReady


def test_the_state_grows_with_the_stream(stream) -> None:
    events = stream([0.5, 2.0, None])
    assert outcome_of([]).rows == [] and outcome_of(events[:1]).started is not None
    pool = outcome_of(events[:2])
    assert [row.status for row in pool.rows] == ["waiting"] * 3 and pool.read == 0
    one = outcome_of(events[:3])
    assert [row.status for row in one.rows] == ["scored", "waiting", "waiting"]
    two = outcome_of(events[:4])
    assert [row.place for row in two.rows] == [2, 1, 3]  # the second overtakes before the search is over
    over = outcome_of(events)
    assert [row.status for row in over.rows] == ["scored", "scored", "failed"]
    assert [row.entry.rank for row in over.final] == [2, 1, 3] and over.read == 3 and over.mode == "log-odds"


def test_a_cancelled_search_leaves_the_rest_unread(stream) -> None:
    events = stream([1.0, 2.0, 3.0])
    done = Done([10, 11, 12], [events[2].record], {"all": 1.0}, cancelled=True)
    outcome = outcome_of([*events[:3], done])
    assert [row.status for row in outcome.rows] == ["scored", "unread", "unread"]
    assert outcome.place_of(11) == 2 and outcome.place_of(99) is None


def test_not_a_number_is_a_failure(stream) -> None:
    outcome = outcome_of(stream([float("nan"), 1.0]))
    assert [row.status for row in outcome.rows] == ["failed", "scored"] and outcome.final[0].entry.rank == 2


def test_low_label_mass_is_told(stream) -> None:
    assert [row.low_mass for row in outcome_of(stream([1.0], mass=0.2)).rows] == [True]
    assert [row.low_mass for row in outcome_of(stream([1.0], mass=0.97)).rows] == [False]


def test_pool_sizes_reorder_what_was_scored(stream) -> None:
    outcome = outcome_of(stream([1.0, 3.0, 2.0, 0.0]))
    sizes = outcome.pool_sizes(answer=12)
    assert [(p.k, p.first, p.answer) for p in sizes] == [(1, 10, None), (2, 11, None), (3, 11, 2), (4, 11, 2)]


def test_pool_sizes_end_where_reading_ended(stream) -> None:
    events = stream([1.0, 3.0, 2.0])
    assert len(outcome_of(events[:4]).pool_sizes(None)) == 2 and outcome_of(events[:2]).pool_sizes(None) == []


@pytest.mark.parametrize(("rule", "first"), [(True, 11), (False, 10)])
def test_pool_sizes_keep_the_tie_rule(stream, rule: bool, first: int) -> None:
    outcome = outcome_of(stream([2.0, 2.0], entropies=[0.5, 0.1]))
    assert outcome.tie is not None and outcome.tie.winner == 11 and outcome.final[0].entry.item == 11
    assert outcome.pool_sizes(None, rule)[-1].first == first


def test_the_time_left_follows_the_rate(stream) -> None:
    events = stream([1.0, 2.0, 3.0, 4.0])[:4]
    left = waiting(outcome_of(events), [0.0, 10.0, 11.0, 12.0], events, now=12.0)
    assert (left.done, left.total, left.seconds) == (2, 4, pytest.approx(2.0))
    assert waiting(outcome_of(events[:2]), [0.0, 10.0], events[:2], now=12.0).seconds is None


def test_the_time_left_counts_from_the_last_pool(stream) -> None:
    """A pool is shown early while the model is loaded, and once more when it reads."""
    events = stream([1.0, 2.0])
    again = [*events[:2], *events[:3]]
    assert isinstance(again[3], PoolReady)
    assert waiting(outcome_of(again), [0.0, 1.0, 50.0, 51.0, 52.0], again, now=52.0).seconds == pytest.approx(1.0)
