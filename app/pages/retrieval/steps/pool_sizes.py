"""What every smaller pool would have given, from the scores there are."""

from __future__ import annotations

from collections.abc import Sequence

from app import ui
from app.pages.retrieval.outcome import Outcome, PoolSize
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.view import empty_step
from app.ui import Html, tag
from app.ui.charts import chart


def pool_sizes(context: StepContext, outcome: Outcome) -> Html:
    """Step 7: what every smaller pool would have given, for free."""
    sizes = outcome.pool_sizes(context.answer, context.request.tie == "on")
    if not sizes:
        return empty_step("Nothing was read, so there is nothing to compare pool sizes with.")
    spans: list[tuple[int, int, int]] = []
    for size in sizes:
        if spans and spans[-1][2] == size.first:
            spans[-1] = (spans[-1][0], size.k, size.first)
        else:
            spans.append((size.k, size.k, size.first))
    firsts = [
        tag(
            "figure",
            context.pic(first),
            tag("figcaption", tag("b", _span(start, end)), context.mark(first), context.caption(first)),
        )
        for start, end, first in spans
    ]
    changes = len(spans) - 1
    head = ui.section(
        "Who is first",
        f"for every pool size up to {len(sizes)}; it changes {_times(changes)}. No new reading was needed",
    )
    known = context.answer is not None and outcome.pool is not None
    body = None
    if known and outcome.pool is not None:
        rank = outcome.pool.answer_rank
        enters = f"the coarse stage lets it in from k = {rank:,}" if rank is not None else ""
        body = tag("div", ui.section("Where the answer stands", enters), answer_chart(sizes, rank), cls="as-narrow")
    else:
        body = tag(
            "p",
            "The place of the right answer is known when the query is a corpus item's own caption, or its picture read "
            "against captions. This one is free text or a free picture, so only the winner can be told.",
            cls="as-caption",
        )
    return tag("section", head, tag("div", firsts, cls="as-grid as-pool"), body, cls="as-step")


def _span(start: int, end: int) -> str:
    return f"k = {start}" if start == end else f"k = {start} to {end}"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def answer_chart(sizes: Sequence[PoolSize], answer_rank: int | None) -> Html:
    """Place of the known answer for every pool size; outside the pool is drawn as a gap at the bottom."""
    most = sizes[-1].k
    deepest = max([size.answer for size in sizes if size.answer is not None], default=1)
    width, height, left, right, top, bottom = 620, 106 + 20 * min(deepest, 8), 46, 14, 14, 36
    base = height - bottom

    def x(k: float) -> float:
        return left + (width - left - right) * (k - 0.5) / most

    def y(place: float) -> float:
        return top + (base - 26 - top) * (place - 1) / max(deepest - 1, 1)

    shapes: list[Html] = [
        tag("line", x1=left, x2=width - right, y1=base, y2=base, cls="as-axis"),
        tag("text", "pool size k", x=width - right, y=height - 4, cls="as-label", text_anchor="end"),
        tag("text", "place of the answer", x=left, y=height - 4, cls="as-label"),
        tag("text", "not in", x=left - 6, y=f"{base - 5:.1f}", cls="as-tick", text_anchor="end"),
    ]
    for place in sorted({1, deepest, *(range(1, deepest + 1) if deepest <= 6 else ())}):
        shapes.append(tag("line", x1=left, x2=width - right, y1=f"{y(place):.1f}", y2=f"{y(place):.1f}", cls="as-rule"))
        shapes.append(tag("text", place, x=left - 6, y=f"{y(place) + 3.5:.1f}", cls="as-tick", text_anchor="end"))
    for k in sorted({1, most, *range(1, most + 1, max(1, most // 10))}):
        shapes.append(tag("text", k, x=f"{x(k):.1f}", y=base + 14, cls="as-tick", text_anchor="middle"))
    known = [size for size in sizes if size.answer is not None]
    if len(known) > 1:
        path = "L".join(f"{x(size.k):.1f} {y(size.answer or 0):.1f}" for size in known)
        shapes.append(tag("path", d=f"M{path}", cls="as-line"))
    for size in sizes:
        says = f"place {size.answer}" if size.answer is not None else "not in the pool"
        at = y(size.answer) if size.answer is not None else base - 9
        cls = "as-dot" if size.answer is not None else "as-held"
        shapes.append(
            tag("circle", cx=f"{x(size.k):.1f}", cy=f"{at:.1f}", r=4.5, cls=cls, data_tip=f"k = {size.k}: {says}")
        )
    enters = f"; the coarse stage lets it in from k = {answer_rank}" if answer_rank is not None else ""
    alt = f"Place of the answer for pool sizes 1 to {most}{enters}"
    svg = tag("svg", shapes, viewBox=f"0 0 {width} {height}", role="img", aria_label=alt)
    return chart(svg, "pool-sizes", ("pool size", "answer"))
