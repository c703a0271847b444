"""The tie at the top: both orders, and whether the rule changed anything."""

from __future__ import annotations

from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.ties import tie


def test_the_tie_panel_shows_both_orders_and_a_confident_false(stream, context: StepContext) -> None:
    outcome = outcome_of(stream([2.0, 2.0, 1.0], entropies=[0.4, 0.1, 0.1]))
    html = tie(context, outcome)
    assert (
        html is not None and "By coarse rank" in html and "By lowest entropy" in html and "changed who is first" in html
    )
    assert tie(context, outcome_of(stream([3.0, 2.0]))) is None
