"""Both readings of a candidate side by side."""

from __future__ import annotations

from dataclasses import replace

from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.request import Request
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.enhancement import enhancement
from engine.retrieval.search.events import CandidateScored, Done


def test_enhancement_shows_off_and_on(stream, context: StepContext) -> None:
    events = stream([1.0, 2.0])
    both = [CandidateScored(replace(e.record, fired_layer=1, score=e.record.score + 1), e.record) for e in events[2:4]]
    on = StepContext(context.content, context.items, Request(text="x", enhance="paper"), None, "")
    outcome = outcome_of([*events[:2], *both, Done([11, 10], [], {})])
    html = enhancement(on, outcome)
    assert "it fired for 2 of 2 candidates" in html and "+1.00" in html and "fired after layer 2" in html
    assert "Choose a preset" in enhancement(context, outcome_of(events))
