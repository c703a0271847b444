"""Rank movement: from coarse rank to final place."""

from __future__ import annotations

from app import ui, urls
from app.pages.retrieval.outcome import Outcome, PoolRow
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.view import empty_step, signed
from app.ui import Html, cut, tag
from app.ui.charts import chart


def ranks(context: StepContext, outcome: Outcome) -> Html:
    """Step 4: from coarse rank to final place."""
    if not outcome.rows:
        return empty_step("The pool is empty.")
    risen = sum(row.entry.rank > row.place for row in outcome.rows)
    hint = f"{risen} of {len(outcome.rows)} rise" if outcome.read else "the model read nothing, so nothing moves"
    return tag(
        "section",
        ui.section("From coarse rank to final place", hint),
        slope(context, outcome),
        cls="as-step as-wide-chart",
    )


def slope(context: StepContext, outcome: Outcome) -> Html:
    """Rank movement: coarse rank on the left, final place on the right, one line per candidate."""
    rows = outcome.rows
    small = len(rows) > 16
    step = 24 if small else 50
    side = 0 if small else 42
    width, top = 900, 28
    left, right = 168, 430
    height = top + step * len(rows) + 8

    def y(place: int) -> float:
        return top + step * (place - 0.5)

    shapes: list[Html] = [
        tag("text", "coarse rank (cosine)", x=left - 14, y=14, cls="as-label", text_anchor="end"),
        tag("text", "final place (fine score)", x=right + 14, y=14, cls="as-label"),
    ]
    for row in sorted(rows, key=lambda row: -row.place):  # the first is drawn last, over the others
        by = row.entry.rank - row.place
        cls = "as-slope " + ("as-up" if by > 0 else "as-down" if by < 0 else "as-same")
        cls += " as-answer" if row.entry.item == context.answer else ""
        cls += " as-top" if row.place == 1 else ""
        score = signed(row.score, outcome.mode) if row.score is not None else row.status
        name = context.caption(row.entry.item)
        middle = (left + right) / 2
        start, end = y(row.entry.rank), y(row.place)
        path = f"M{left} {start:.1f}C{middle} {start:.1f} {middle} {end:.1f} {right} {end:.1f}"
        shapes.append(
            tag(
                "g",
                tag("path", d=path),
                tag("circle", cx=left, cy=f"{start:.1f}", r=4),
                tag("circle", cx=right, cy=f"{end:.1f}", r=4),
                tag(
                    "text",
                    tag("tspan", f"{row.entry.rank}", cls="as-strong"),
                    f"  {row.entry.score:.3f}",
                    x=left - 14 - (side + 8 if side else 0),
                    y=f"{start + 4:.1f}",
                    text_anchor="end",
                ),
                _thumb(context, row, left - 14 - side, start, side),
                _thumb(context, row, right + 14, end, side),
                tag(
                    "text",
                    tag("tspan", f"{row.place}", cls="as-strong"),
                    f"  {score}  {cut(name, 44)}",
                    x=right + 14 + (side + 8 if side else 0),
                    y=f"{end + 4:.1f}",
                ),
                cls=cls,
                data_tip=f"{cut(name, 60)}: from {row.entry.rank} to {row.place}",
            )
        )
    risen = sum(row.entry.rank > row.place for row in rows)
    alt = f"Rank movement of {len(rows)} candidates from coarse rank to final place; {risen} rise"
    numbers = ui.table(
        ["id", "coarse rank", "cosine", "final place", "fine score"],
        [
            (
                r.entry.id,
                r.entry.rank,
                f"{r.entry.score:.4f}",
                r.place,
                signed(r.score, outcome.mode) if r.score is not None else r.status,
            )
            for r in outcome.final
        ],
        keep="rank-movement",
    )
    svg = tag("svg", shapes, viewBox=f"0 0 {width} {height}", role="img", aria_label=alt, cls="as-slopes")
    return chart(svg, "rank-movement", numbers=numbers)


def _thumb(context: StepContext, row: PoolRow, x: float, middle: float, side: int) -> Html | None:
    item = row.entry.item
    if not side or row.status == "failed" or context.items["kind"].iat[item] == "text":
        return None
    place = {"x": x, "y": f"{middle - side / 2:.1f}", "width": side, "height": side}
    return tag("image", href=urls.corpus_thumb(context.content, item), preserveAspectRatio="xMidYMid slice", **place)
