"""The coarse pool: its ceiling, and its place among all cosines."""

from __future__ import annotations

from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.pool import ceiling


def test_the_ceiling_says_when_the_answer_is_out_of_reach(stream, context: StepContext) -> None:
    inside = ceiling(context, outcome_of(stream([1.0, 2.0, 3.0], answer_rank=2)))
    outside = ceiling(context, outcome_of(stream([1.0, 2.0, 3.0], answer_rank=17)))
    assert "in the pool" in inside and "no fine score can bring it back" not in inside
    assert "A pool of 17 would hold it" in outside
    assert "recall ceiling" not in ceiling(context, outcome_of(stream([1.0, 2.0, 3.0])))


def test_a_gallery_smaller_than_the_pool_is_told(stream, context: StepContext) -> None:
    html = ceiling(context, outcome_of(stream([1.0], gallery=1)))
    assert "You asked for a pool of 3; the gallery has 1" in html
