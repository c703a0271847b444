"""What stands around the steps: the stepper, and which models answer."""

from __future__ import annotations

from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.request import STEPS
from app.pages.retrieval.view import models_line, stepper
from engine.retrieval.search.events import Done, FineSkipped, Started


def test_steps_wait_until_they_have_something(stream) -> None:
    html = stepper("fine", outcome_of(stream([1.0])[:2]))
    assert html.count("as-later") == len(STEPS) - 2 and html.count("aria-current='step'") == 1
    assert "as-later" not in stepper("fine", outcome_of(stream([1.0])))


def test_the_models_are_always_named(stream) -> None:
    outcome = outcome_of(stream([1.0]))
    assert "read by <b>Demo</b>: small" in models_line(outcome, "Demo", "")
    events = stream([1.0])
    alone = [Started({"embedder": {"name": "e"}, "mllm": None, "corpus": {"name": "c"}}, {}), events[1]]
    html = models_line(outcome_of([*alone, FineSkipped("There is none."), Done([10], [], {})]), "Demo", "a note")
    assert "read by no model" in html and "Demo" not in html
