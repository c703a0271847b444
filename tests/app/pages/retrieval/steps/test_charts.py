"""The charts of all steps: each has a name, its numbers, and room for one candidate and for fifty."""

from __future__ import annotations

from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.layer_chart import layer_chart
from app.pages.retrieval.steps.pool import cosines
from app.pages.retrieval.steps.pool_sizes import pool_sizes
from app.pages.retrieval.steps.ranks import slope
from tests.app.pages.retrieval.conftest import ATTACK


def test_every_chart_has_a_name_and_its_numbers(stream, context: StepContext) -> None:
    outcome = outcome_of(stream([1.0, 2.0, None], answer_rank=1))
    assert outcome.pool is not None
    drawn = [cosines(outcome.pool), slope(context, outcome), pool_sizes(context, outcome)]
    drawn.append(layer_chart(outcome.rows[0].record, None, None, 0, 0))
    for html in drawn:
        assert "aria-label='" in html and "<summary>Table</summary>" in html and ATTACK not in html


def test_charts_bear_one_candidate_and_fifty(stream, context: StepContext) -> None:
    for scores, gallery in (([1.0], 1), ([float(i % 7) for i in range(20)], 2000)):
        outcome = outcome_of(stream(scores, gallery=gallery))
        assert outcome.pool is not None
        assert "as-slope" in slope(context, outcome) and "<svg" in cosines(outcome.pool)
        assert "nan" not in cosines(outcome.pool)
