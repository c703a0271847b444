"""What a person reads of each candidate: every figure, every warning, nothing a caption could break."""

from __future__ import annotations

from app.pages.retrieval.outcome import outcome_of
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.fine import cards, fine
from engine.retrieval.search.events import CandidateScored, Done, FineRecord, FineSkipped, StoppedEarly


def test_cards_tell_everything_about_a_reading(stream, context: StepContext) -> None:
    html = cards(context, outcome_of(stream([0.5, 2.0, None])))
    for words in (
        "+2.00",
        "P(True)",
        "entropy",
        "label mass",
        "210 ms",
        "cache: image",
        "animals/1.png is missing.",
        "failed",
    ):
        assert words in html
    assert html.index("+2.00") < html.index("+0.50") and "the answer" in html
    assert "<img src=x" not in html and "&lt;img src=x" in html


def test_cards_wait_in_coarse_order(stream, context: StepContext) -> None:
    html = cards(context, outcome_of(stream([0.5, 2.0, 1.0])[:4]))
    assert html.count("as-wait'") == 1 and html.index("+0.50") < html.index("+2.00")


def test_low_mass_and_an_unread_answer_warn(stream, context: StepContext) -> None:
    assert "Label mass below 50%" in cards(context, outcome_of(stream([1.0], mass=0.1)))
    events = stream([1.0])
    record = events[2].record
    odd = FineRecord(record.entry, 0.0, "generated", text="maybe <b>", parsed=False)
    html = cards(context, outcome_of([*events[:2], CandidateScored(odd), Done([10], [odd], {})]))
    assert "could not be read as a score" in html and "maybe &lt;b&gt;" in html


def test_rules_that_acted_are_told(stream, context: StepContext) -> None:
    events = stream([1.0, 2.0, 3.0])
    skipped = [*events[:2], FineSkipped("The first leads by 0.2."), Done([10, 11, 12], [], {})]
    html = fine(context, outcome_of(skipped))
    assert "The first leads by 0.2." in html and html.count("not read") == 3
    stopped = [*events[:4], StoppedEarly("The best leads by 5."), Done([11, 10, 12], [], {})]
    assert "The best leads by 5." in fine(context, outcome_of(stopped))
    cancelled = [*events[:3], Done([10, 11, 12], [], {}, cancelled=True)]
    assert "Cancelled after 1 of 3" in fine(context, outcome_of(cancelled))
