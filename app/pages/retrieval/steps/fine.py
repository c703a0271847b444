"""What the model says of each candidate: a card that fills in, with the score and what makes it doubtful."""

from __future__ import annotations

from app import ui
from app.pages.retrieval.outcome import LOW_MASS, Outcome, PoolRow
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.ties import tie
from app.pages.retrieval.view import CACHES, UNITS, milliseconds, moved, score_bar, signed
from app.ui import Html, cut, tag

_MASS = (
    "P(True) + P(False): how much of the model's probability went to the answers it was offered. When it is low, the "
    "prompt failed and the score says little."
)
_ENTROPY = "Entropy of the next token over the whole vocabulary, in nats: 0 is certain. The tie rule looks at it."


def fine(context: StepContext, outcome: Outcome) -> Html:
    """Step 2: the fine scores, and the tie at the top when there was one."""
    notes = [ui.warn(event.reason) for event in (outcome.skipped, outcome.stopped) if event is not None]
    if outcome.done is not None and outcome.done.cancelled:
        notes.append(
            ui.warn(f"Cancelled after {outcome.read} of {len(outcome.rows)}: the others keep their coarse order.")
        )
    if outcome.mode == "posterior":
        text = "The score adds what the coarse cosine is worth (fitted on validation pools) to the model's log-odds of True."
        notes.append(tag("p", text, cls="as-caption"))
    unit = UNITS.get(outcome.mode, "")
    order = "by fine score" if outcome.done is not None else "in coarse order while the model reads"
    hint = f"{order}{f'; the score is the {unit}' if unit else ''}"
    return tag(
        "section",
        notes,
        ui.section("What the model says of each", hint),
        cards(context, outcome),
        tie(context, outcome),
        cls="as-step",
    )


def cards(context: StepContext, outcome: Outcome) -> Html:
    """Every candidate the model reads, as a card that fills in; by coarse rank while it reads, by place afterwards."""
    rows = outcome.final if outcome.done is not None else outcome.rows
    return tag("div", [_card(context, outcome, row) for row in rows], cls="as-cards")


def _card(context: StepContext, outcome: Outcome, row: PoolRow) -> Html:
    settled = outcome.done is not None
    badge = tag("span", row.place if settled else row.entry.rank, cls="as-rank")
    body = {"scored": _scored, "failed": _failed, "waiting": _waiting, "unread": _unread}[row.status](outcome, row)
    words = tag("p", context.mark(row.entry.item), cut(context.caption(row.entry.item), 90), cls="as-words-2")
    head = tag(
        "div", context.pic(row.entry.item, failed=row.status == "failed"), badge, moved(row) if settled else None
    )
    first = settled and row.place == 1
    cls = f"as-card as-{row.status}" + (" as-winner" if first else "")
    return tag("article", head, words, body, cls=cls)


def _scored(outcome: Outcome, row: PoolRow) -> Html:
    record = row.record
    assert record is not None  # a scored row has one
    unit = UNITS.get(record.mode, record.mode)
    head = tag(
        "div",
        tag("b", signed(record.score, record.mode), data_tip=f"Fine score: {unit}"),
        score_bar(row, outcome.rows, record.mode),
        cls="as-score-line",
    )
    facts: list[tuple[str, str, str]] = []
    if record.p_true is not None:
        facts.append(("P(True)", f"{record.p_true:.1%}", "Probability that the next token spells True."))
    if record.entropy is not None:
        facts.append(("entropy", f"{record.entropy:.2f}", _ENTROPY))
    if record.label_mass is not None:
        facts.append(("label mass", f"{record.label_mass:.1%}", _MASS))
    reused = f"; {CACHES.get(record.cache, record.cache)}" if record.cache else ""
    facts.append(
        ("time", milliseconds(record.milliseconds), f"Wall time of this candidate, its share of a batch{reused}.")
    )
    facts.append(("cosine", f"{row.entry.score:.3f}", "The coarse score."))
    listed = tag(
        "dl",
        [tag("div", tag("dt", name, data_tip=tip), tag("dd", value)) for name, value, tip in facts],
        cls="as-facts",
    )
    notes: list[Html] = []
    if row.low_mass:
        notes.append(
            ui.warn(
                f"Label mass below {LOW_MASS:.0%}: the model wanted to say something else than True or False.", _MASS
            )
        )
    if not record.parsed:
        notes.append(ui.warn(f"Its answer “{cut(record.text, 40)}” could not be read as a score: it counts 0."))
    chips = []
    if record.cache:
        chips.append(ui.chip(f"cache: {record.cache}", "plain", CACHES.get(record.cache, "")))
    if record.fired_layer is not None:
        chips.append(
            ui.chip(
                f"enhanced after layer {record.fired_layer + 1}", "plain", "Visual enhancement acted in this reading."
            )
        )
    return ui.join(head, listed, tag("p", chips, cls="as-chips") if chips else None, notes)


def _failed(outcome: Outcome, row: PoolRow) -> Html:
    says = row.record.error if row.record is not None and row.record.error else "The model could not read it."
    return ui.join(
        tag("p", ui.chip("failed", "bad", "It keeps its coarse rank behind those that were scored."), cls="as-chips"),
        tag("p", says, cls="as-caption"),
    )


def _waiting(outcome: Outcome, row: PoolRow) -> Html:
    line = tag("span", cls="as-skeleton")
    return tag("div", line, line, line, tag("em", f"cosine {row.entry.score:.3f}"), cls="as-wait", aria_label="waiting")


def _unread(outcome: Outcome, row: PoolRow) -> Html:
    return tag("p", ui.chip("not read"), f" cosine {row.entry.score:.3f}", cls="as-caption")
