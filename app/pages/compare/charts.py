"""Charts of the Compare page as SVG in the theme's colours, each with its table: pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app import ui
from app.ui import Html, tag
from app.ui.charts import chart, linear_ticks, log_ticks

SHAPES = ("circle", "square", "diamond", "triangle")
"""A shape a series beside its colour: never colour alone."""


class Point(NamedTuple):
    """One SAE of the trade-off: mean L0, its 5% and 95% quantiles, FVU; ``series`` is its place among the chosen, or -1."""

    name: str
    l0: float
    low: float
    high: float
    fvu: float
    series: int


def trade_off(points: Sequence[Point], guide: tuple[str, float] | None, width: int = 620, height: int = 300) -> Html:
    """FVU against L0: a dot at the mean, a line from the 5% to the 95% quantile of the tokens; ``guide`` is a vertical line."""
    left, right, top, bottom = 52, 20, 16, 40
    spread = [value for p in points for value in (p.low, p.high, p.l0) if value > 0]
    low, high = min(spread, default=1) * 0.85, max(spread, default=10) * 1.18
    highest = 1.15 * max((p.fvu for p in points), default=1) or 1.0

    def x(value: float) -> float:
        share = (math.log(max(value, low)) - math.log(low)) / max(math.log(high) - math.log(low), 1e-9)
        return left + (width - left - right) * share

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - value / highest)

    shapes: list[Html] = []
    for value in log_ticks(low, high):
        shapes.append(
            tag("line", x1=f"{x(value):.1f}", x2=f"{x(value):.1f}", y1=top, y2=height - bottom, cls="as-rule")
        )
        shapes.append(
            tag(
                "text",
                ui.number(value),
                x=f"{x(value):.1f}",
                y=height - bottom + 14,
                cls="as-tick",
                text_anchor="middle",
            )
        )
    for value in linear_ticks(0, highest, 4):
        shapes.append(tag("line", x1=left, x2=width - right, y1=f"{y(value):.1f}", y2=f"{y(value):.1f}", cls="as-rule"))
        shapes.append(
            tag("text", ui.number(value), x=left - 6, y=f"{y(value) + 3.5:.1f}", cls="as-tick", text_anchor="end")
        )
    if guide is not None:
        name, l0 = guide
        says = f"{name} finds {l0:.1f} active atoms a token: a K to try for TopK and BatchTopK"
        at = f"{x(l0):.1f}"
        shapes.append(tag("line", x1=at, x2=at, y1=top, y2=height - bottom, cls="as-mark", data_tip=says))
        shapes.append(tag("text", f"{name}: {l0:.1f}", x=f"{x(l0) + 5:.1f}", y=top + 10, cls="as-tick", data_tip=says))
    taken: list[tuple[float, float, float, float]] = []
    for point in sorted(points, key=lambda p: p.series >= 0):  # the chosen ones above the others
        shapes.append(_dot(point, x(point.low), x(point.l0), x(point.high), y(point.fvu), taken))
    shapes.append(
        tag("text", "active atoms a token, log scale", x=width - right, y=height - 6, cls="as-label", text_anchor="end")
    )
    shapes.append(tag("text", "FVU: variance unexplained, lower is better", x=left, y=height - 6, cls="as-label"))
    names = ", ".join(f"{p.name}: L0 {p.l0:.1f}, FVU {p.fvu:.4f}" for p in points)
    svg = tag("svg", shapes, viewBox=f"0 0 {width} {height}", role="img", aria_label=f"FVU against L0. {names}")
    cells = [(p.name, f"{p.l0:.1f}", f"{p.low:.0f}", f"{p.high:.0f}", f"{p.fvu:.4f}") for p in points]
    table = ui.table(("SAE", "L0, mean", "5%", "95%", "FVU"), cells, keep="trade-off")
    return chart(svg, "fvu-against-l0", numbers=table)


def _dot(
    point: Point, low: float, cx: float, high: float, cy: float, taken: list[tuple[float, float, float, float]]
) -> Html:
    """One SAE at (cx, cy), its quantiles from ``low`` to ``high``, and its name where no other name stands."""
    says = (
        f"{point.name}: {point.l0:.1f} atoms a token (5% to 95% of tokens: {point.low:.0f} to {point.high:.0f}), "
        f"FVU {point.fvu:.4f}"
    )
    cls = f"as-series as-s{point.series}" if point.series >= 0 else "as-series as-other"
    whisker = tag("line", x1=f"{low:.1f}", x2=f"{high:.1f}", y1=f"{cy:.1f}", y2=f"{cy:.1f}")
    right, line = _free(cx, cy, 6.6 * len(point.name), taken)
    name = tag(
        "text",
        point.name,
        x=f"{cx + 9 if right else cx - 9:.1f}",
        y=f"{line:.1f}",
        cls="as-name",
        text_anchor=None if right else "end",
    )
    return tag("g", whisker, marker(max(point.series, 0), cx, cy), name, cls=cls, data_tip=says, tabindex=0)


def _free(cx: float, cy: float, length: float, taken: list[tuple[float, float, float, float]]) -> tuple[bool, float]:
    """Whether a name of this length stands right of the dot, and on which line: the first place that overlaps no other."""
    places = [(right, cy + shift) for shift in (-7, 16, 29, -20, 42, -33) for right in (True, False)]
    boxes = [
        (cx + 9 if right else cx - 9 - length, line - 11, cx + 9 + length if right else cx - 9, line + 2)
        for right, line in places
    ]

    def clear(box: tuple[float, float, float, float]) -> bool:
        return all(box[2] <= t[0] or box[0] >= t[2] or box[3] <= t[1] or box[1] >= t[3] for t in taken)

    chosen = next((number for number, box in enumerate(boxes) if clear(box)), 0)
    taken.append(boxes[chosen])
    return places[chosen]


def marker(series: int, cx: float, cy: float, r: float = 5.2) -> Html:
    """The mark of a series, centred at (cx, cy)."""
    shape = SHAPES[series % len(SHAPES)]
    if shape == "circle":
        return tag("circle", cx=f"{cx:.1f}", cy=f"{cy:.1f}", r=r)
    if shape == "square":
        return tag("rect", x=f"{cx - r:.1f}", y=f"{cy - r:.1f}", width=2 * r, height=2 * r)
    corners = (
        [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)] if shape == "diamond" else [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)]
    )
    return tag("polygon", points=" ".join(f"{cx + r * a:.1f},{cy + r * b:.1f}" for a, b in corners))


def legend(names: Sequence[str]) -> Html:
    """Marks and names of the series."""
    entries = [
        tag("span", tag("svg", tag("g", marker(s, 8, 8), cls=f"as-series as-s{s}"), viewBox="0 0 16 16"), name)
        for s, name in enumerate(names)
    ]
    return tag("div", entries, cls="as-series-legend")


def curves(
    series: Sequence[tuple[str, Mapping[str, float]]],
    levels: Sequence[str],
    name: str,
    alt: str,
    reference: tuple[str, float] | None = None,
    width: int = 430,
    height: int = 230,
) -> Html:
    """Accuracy over n for every series; n as equal steps, as the paper prints it; ``reference`` is a horizontal line."""
    left, right, top, bottom = 44, 16, 12, 36
    step = (width - left - right) / max(len(levels) - 1, 1)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - value)

    shapes: list[Html] = []
    for place, level in enumerate(levels):
        at = f"{left + step * place:.1f}"
        shapes.append(tag("text", level, x=at, y=height - bottom + 14, cls="as-tick", text_anchor="middle"))
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        shapes.append(tag("line", x1=left, x2=width - right, y1=f"{y(value):.1f}", y2=f"{y(value):.1f}", cls="as-rule"))
        shapes.append(
            tag("text", f"{value:.0%}", x=left - 6, y=f"{y(value) + 3.5:.1f}", cls="as-tick", text_anchor="end")
        )
    if reference is not None:
        words, value = reference
        at = f"{y(value):.1f}"
        shapes.append(
            tag("line", x1=left, x2=width - right, y1=at, y2=at, cls="as-mark", data_tip=f"{words}: {value:.1%}")
        )
    for number, (title, values) in enumerate(series):
        known = [
            (left + step * place, y(values[level]), level) for place, level in enumerate(levels) if level in values
        ]
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b, _ in known)
        marks = [
            tag("g", marker(number, a, b, 4), data_tip=f"{title}, n = {level}: {values[level]:.1%}")
            for a, b, level in known
        ]
        shapes.append(tag("g", tag("path", d=path), marks, cls=f"as-series as-s{number}"))
    shapes.append(
        tag("text", "n, atoms of the class", x=width - right, y=height - 5, cls="as-label", text_anchor="end")
    )
    shapes.append(tag("text", "accuracy", x=left, y=height - 5, cls="as-label"))
    svg = tag("svg", shapes, viewBox=f"0 0 {width} {height}", role="img", aria_label=alt)
    cells = [(title, *(f"{values[n]:.1%}" if n in values else "–" for n in levels)) for title, values in series]
    return chart(svg, name, numbers=ui.table(("SAE", *levels), cells, keep=name))
