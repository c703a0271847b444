"""The final order: scores, the tie rule, failures."""

from __future__ import annotations

import math

import pytest

from engine.retrieval.search.events import FineRecord, PoolEntry, TieResolved
from engine.retrieval.search.ranking import final_order, lead

POOL = [PoolEntry(item=10 * rank, id=str(rank), rank=rank, score=1 - rank / 10) for rank in range(1, 6)]


def record(rank: int, score: float | None, entropy: float | None = None) -> FineRecord:
    return FineRecord(POOL[rank - 1], score, "log-odds", entropy=entropy, error="" if score is not None else "broken")


def test_best_score_first_and_equal_scores_by_coarse_rank() -> None:
    order, records, tie = final_order(
        POOL, [record(5, 0.2), record(3, 0.2), record(1, 0.1), record(4, 0.9), record(2, 0)]
    )
    assert order == [40, 30, 50, 10, 20]
    assert [one.entry.item for one in records] == order
    assert tie is None  # a tie further down changes no winner


def test_the_lowest_entropy_wins_a_tie_at_the_top() -> None:
    records = [record(1, 0.9, 0.5), record(2, 0.9, None), record(3, 0.9, 0.1), record(4, 0.3, 0.0)]
    order, _, tie = final_order(POOL, records)
    assert order == [30, 10, 20, 40, 50]
    assert tie == TieResolved([10, 20, 30], 30, moved=True)
    order, _, tie = final_order(POOL, records, tie_rule=False)
    assert order == [10, 20, 30, 40, 50] and tie is None


def test_a_tie_that_moves_nothing_is_still_told() -> None:
    order, _, tie = final_order(POOL, [record(1, 1.0, 0.1), record(2, 1.0, 0.1)])
    assert order[:2] == [10, 20] and tie == TieResolved([10, 20], 10, moved=False)


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_failed_and_unscored_follow_in_coarse_order(nothing: float | None) -> None:
    order, records, _ = final_order(POOL, [record(2, nothing), record(5, -4.0)])
    assert order == [50, 10, 20, 30, 40]
    assert [one.entry.item for one in records] == [50, 20]
    assert final_order(POOL, [])[0] == [10, 20, 30, 40, 50]


def test_lead_is_best_minus_second() -> None:
    assert lead([record(1, 2.0)]) is None
    assert lead([record(1, 2.0), record(2, None), record(3, 5.0), record(4, 4.0)]) == 1.0
