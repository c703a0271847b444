"""The prompt as the model read it."""

from __future__ import annotations

from dataclasses import replace

from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.prompt import prompt


def test_a_prompt_is_shown_as_it_is(stream, context: StepContext) -> None:
    html = prompt(replace(context, picked=10), outcome_of(stream([1.0, 2.0])))
    assert "&lt;image x 49&gt;Does it match? &lt;script&gt;" in html and "61 tokens" in html and "⏎&lt;b&gt;" in html
