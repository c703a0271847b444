"""The tie at the top, when there was one: who shared the best score, and both orders."""

from __future__ import annotations

from app import atlas_ui, ui
from app.pages.retrieval.outcome import Outcome, PoolRow
from app.pages.retrieval.step_context import StepContext
from app.ui import Html, tag


def tie(context: StepContext, outcome: Outcome) -> Html | None:
    """The tie at the top: who shared the best score, and both orders."""
    event = outcome.tie
    if event is None:
        return None
    rows = {row.entry.item: row for row in outcome.rows}
    tied = [rows[item] for item in event.tied if item in rows]
    after = sorted(tied, key=lambda row: row.entry.item != event.winner)
    winner = rows.get(event.winner)
    notes = []
    p_true = winner.record.p_true if winner is not None and winner.record is not None else None
    if p_true is not None and p_true < 0.5:
        notes.append(
            ui.warn(
                "The winner is a confident False: low entropy says how sure the model is, not that the picture fits."
            )
        )
    changed = "the rule changed who is first" if event.moved else "the first one stayed first"
    head = ui.section(
        atlas_ui.term("A tie at the top", "tie rule"), f"{len(tied)} candidates share the best fine score; {changed}"
    )
    orders = tag(
        "div",
        _order(context, "By coarse rank", tied),
        tag("span", "→", cls="as-arrow", aria_hidden="true"),
        _order(context, "By lowest entropy (paper rule)", after),
        cls="as-tie",
    )
    return tag("section", head, orders, notes, cls="as-panel")


def _order(context: StepContext, title: str, rows: list[PoolRow]) -> Html:
    listed = [
        tag(
            "li",
            context.pic(row.entry.item),
            tag("b", place),
            tag("em", f"entropy {row.record.entropy:.4f}" if row.record and row.record.entropy is not None else "–"),
        )
        for place, row in enumerate(rows, 1)
    ]
    return tag("div", tag("p", title, cls="as-caption"), tag("ol", listed))
