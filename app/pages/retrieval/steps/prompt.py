"""The prompt: exactly what the model was asked, and what it would say next."""

from __future__ import annotations

from collections.abc import Sequence

from app import ui
from app.pages.retrieval.outcome import Outcome
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.view import chooser, empty_step
from app.ui import Bar, Html, cut, tag
from engine.retrieval.search.events import TokenChance


def prompt(context: StepContext, outcome: Outcome) -> Html:
    """Step 6: exactly what the model was asked, and what it would say next."""
    row = outcome.chosen(context.picked)
    if row is None or row.record is None:
        return empty_step("No candidate has been scored, so there is no prompt to show.")
    record = row.record
    answer = tag("p", tag("b", "It wrote: "), record.text, cls="as-caption") if record.text else None
    said = f"{record.prompt_tokens:,} tokens" if record.prompt_tokens else ""
    likeliest = (
        tokens(record.top_tokens)
        if record.top_tokens
        else tag("p", "This score mode does not look at the next token.", cls="as-caption")
    )
    left = tag(
        "div",
        ui.section("The exact prompt", said),
        tag("pre", record.prompt or "(not recorded)", cls="as-prompt", tabindex=0),
        tag(
            "p",
            "Special tokens are shown as the tokenizer writes them; runs of image tokens are shortened.",
            cls="as-caption",
        ),
        answer,
    )
    mass = f"label mass {record.label_mass:.1%}" if record.label_mass is not None else ""
    right = tag("div", ui.section("Its ten likeliest answers", mass), likeliest)
    return tag(
        "section",
        ui.section("Candidate", cut(context.caption(row.entry.item), 80)),
        chooser(context, outcome, row),
        tag("div", left, right, cls="as-halves"),
        cls="as-step",
    )


def tokens(chances: Sequence[TokenChance]) -> Html:
    """The likeliest next tokens with their probabilities; spaces and line ends made visible."""
    shown = [Bar(visible(c.token), c.probability, ui.percent(c.probability)) for c in chances]
    return ui.bars(shown, alt="Likeliest next tokens", limit=1.0)


def visible(token: str) -> str:
    """A token as a person can read it."""
    return token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "(empty)"
