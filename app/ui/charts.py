"""Small charts as SVG: they follow the theme, cost a few hundred bytes, answer clicks, and carry their table with them.

Every chart is a ``<figure>`` with a name for screen readers, its numbers as a folded table, and a button that saves it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.ui.colours import VIRIDIS
from app.ui.html import Html, join, tag
from app.ui.numbers import compact, number
from app.ui.words import cut

# Charts scale to their column; text reads best when a chart is drawn about as wide as it is shown.
_WIDTH = 520


class Bar(NamedTuple):
    """One bar: its name, its value, the text at its end, and what a click on it sends (empty: nothing)."""

    name: str
    value: float
    text: str
    click: str = ""


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], keep: str = "") -> Html:
    """Numbers behind a chart, folded; ``keep`` is the id under which it stays open when the page changes."""
    head = tag("tr", [tag("th", name) for name in columns])
    body = [tag("tr", [tag("td", cell) for cell in row]) for row in rows]
    inner = tag("div", tag("table", tag("thead", head), tag("tbody", body)), cls="as-scroll")
    return tag("details", tag("summary", "Table"), inner, cls="as-table", data_keep=keep or None)


def chart(svg: Html, name: str, columns: Sequence[str] = (), numbers: Html | None = None) -> Html:
    """A chart with its tools: save as SVG, and its table.

    With ``columns`` (two names) the browser makes the table, when it is unfolded, from the marks' tips ("name: value"):
    the numbers need not be sent twice.
    """
    if columns:
        numbers = tag(
            "details", tag("summary", "Table"), cls="as-table", data_keep=name, data_columns="|".join(columns)
        )
    save = tag("button", "SVG", cls="as-save", data_save=f"{name}.svg", title="Save this chart as SVG")
    return tag("figure", svg, tag("div", numbers, save, cls="as-tools"), cls="as-chart")


def histogram(
    edges: Sequence[float] | NDArray[Any],
    counts: Sequence[int] | NDArray[Any],
    alt: str,
    name: str,
    x_label: str,
    y_label: str = "tokens",
    log_counts: bool = True,
    tick_labels: Sequence[tuple[float, str]] | None = None,
    marks: Sequence[tuple[float, str]] = (),
    on: str = "",
    selected: int | None = None,
    height: int = 150,
    width: int = _WIDTH,
) -> Html:
    """Counts in bins.

    Parameters
    ----------
    edges, counts : B + 1 ascending edges and B counts; empty bins at both ends are not drawn.
    log_counts : logarithmic count axis (counts of one atom span five orders of magnitude).
    tick_labels : (place, text) of the horizontal axis, when the edges are not what a person should read.
    marks : (place, text) of thin vertical lines.
    on : event a click on a bin sends, with the bin's number; empty for none.
    width, height : of the drawing, in its own units; about as wide as it will be shown, or its text gets too small.
    width, height : of the drawing; about the pixels it will have, or its letters grow and shrink with it.
    """
    e, c = np.asarray(edges, float), np.asarray(counts, np.int64)
    filled = np.flatnonzero(c)
    first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, len(c) - 1)
    left, right, top, bottom = 40, 8, 8, 34
    plot_width, plot_height = width - left - right, height - top - bottom
    low, high = float(e[first]), float(e[last + 1])
    largest = max(int(c.max(initial=0)), 1)
    slot = plot_width / (last + 1 - first)

    def x(value: float) -> float:
        # Bins are drawn equally wide, whatever their edges (those of an atlas grow geometrically).
        return left + slot * float(np.interp(value, e[first : last + 2], np.arange(last + 2 - first)))

    def y(count: float) -> float:
        share = math.log10(1 + count) / math.log10(1 + largest) if log_counts else count / largest
        return top + plot_height * (1 - share)

    widths = np.diff(e[first : last + 2])
    even = widths.max() < 3 * widths.min() or low <= 0
    whole = bool((np.mod(e[first : last + 2], 1) == 0).all())
    about = max(3, width // 80)
    columns = []
    for b in range(first, last + 1):
        if not c[b]:
            continue
        end = e[b + 1] - 1 if whole else e[b + 1]
        says = f"{number(float(e[b]))}{'' if end == e[b] else f' to {number(float(end))}'}: {int(c[b]):,}"
        click = {"data_on": on, "data_value": b, "tabindex": 0, "role": "button", "aria_label": says} if on else {}
        bar_top = y(c[b])
        columns.append(
            tag(
                "rect",
                x=f"{left + slot * (b - first) + 0.5:.4g}",
                y=f"{bar_top:.4g}",
                width=f"{max(slot - 1, 0.8):.3g}",
                height=f"{max(top + plot_height - bar_top, 1):.4g}",
                cls="as-on" if b == selected else None,
                data_tip=says,
                **click,
            )
        )
    base = top + plot_height
    axis = [tag("line", x1=left, x2=width - right, y1=base, y2=base, cls="as-axis")]
    for value, text in tick_labels or [
        (v, number(v)) for v in (linear_ticks(low, high, about, whole) if even else log_ticks(low, high))
    ]:
        if low <= value <= high:
            axis.append(tag("text", text, x=f"{x(value):.1f}", y=base + 14, cls="as-tick", text_anchor="middle"))
    for count in _count_ticks(largest, log_counts):
        axis.append(tag("line", x1=left, x2=width - right, y1=f"{y(count):.1f}", y2=f"{y(count):.1f}", cls="as-rule"))
        axis.append(
            tag("text", compact(count), x=left - 6, y=f"{y(count) + 3.5:.1f}", cls="as-tick", text_anchor="end")
        )
    for value, text in marks:
        if low <= value <= high:
            axis.append(
                tag("line", x1=f"{x(value):.1f}", x2=f"{x(value):.1f}", y1=top, y2=base, cls="as-mark", data_tip=text)
            )
    scale = ", log scale" if log_counts else ""
    axis.append(tag("text", x_label, x=width - right, y=height - 4, cls="as-label", text_anchor="end"))
    axis.append(tag("text", f"{y_label}{scale}", x=left, y=height - 4, cls="as-label"))
    svg = tag(
        "svg", axis, tag("g", columns, cls="as-columns"), viewBox=f"0 0 {width} {height}", role="img", aria_label=alt
    )
    return chart(svg, name, (x_label, y_label))


def bars(shown: Sequence[Bar], alt: str, on: str = "", limit: float | None = None) -> Html:
    """Named horizontal bars: a table that can be seen. ``limit`` is the value of a full bar (default: the largest)."""
    full = limit or max((bar.value for bar in shown), default=1) or 1
    rows = []
    for bar in shown:
        click = {"data_on": on, "data_value": bar.click, "tabindex": 0, "role": "button"} if on and bar.click else {}
        length = tag("i", style=f"width:{100 * min(bar.value / full, 1):.1f}%")
        rows.append(tag("li", tag("span", bar.name), tag("b", length), tag("em", bar.text), **click))
    return tag("ul", rows, cls="as-bars", aria_label=alt)


def range_rows(
    rows: Sequence[tuple[str, float, float, float, float, float, int]],
    alt: str,
    name: str,
    unit: str,
    on: str = "",
    selected: str = "",
    ticks: Sequence[tuple[float, str]] | None = None,
    drawn: int = _WIDTH,
) -> Html:
    """Distributions of several groups on one axis: (name, p5, p25, median, p75, p95, count) each, thin to thick to dot."""
    row_height, left, right, top = 19, min(150, drawn // 3), 44, 6
    low, high = min((r[1] for r in rows), default=0), max((r[5] for r in rows), default=1)
    span = (high - low) or 1.0
    width = drawn - left - right
    height = top + row_height * len(rows) + 26

    def x(value: float) -> str:
        return f"{left + width * (value - low) / span:.1f}"

    shapes: list[Html] = []
    base = top + row_height * len(rows) + 2
    for value, text in ticks or [(v, number(v)) for v in linear_ticks(low, high, max(3, width // 60))]:
        if not low <= value <= high:
            continue
        shapes.append(tag("line", x1=x(value), x2=x(value), y1=top, y2=base, cls="as-rule"))
        shapes.append(tag("text", text, x=x(value), y=base + 13, cls="as-tick", text_anchor="middle"))
    shapes.append(tag("text", unit, x=left - 8, y=base + 13, cls="as-label", text_anchor="end"))
    for place, (label, p5, p25, median, p75, p95, count) in enumerate(rows):
        y = top + row_height * place + row_height / 2
        says = f"{label}: median {number(median)}, half within {number(p25)} to {number(p75)}, {count:,} items"
        click = {"data_on": on, "data_value": label, "tabindex": 0, "role": "button", "aria_label": says} if on else {}
        shapes.append(
            tag(
                "g",
                tag("rect", x=0, y=y - row_height / 2, width=drawn, height=row_height, cls="as-hit"),
                tag("text", cut(label, left // 6), x=left - 8, y=y + 4, cls="as-name", text_anchor="end"),
                tag("line", x1=x(p5), x2=x(p95), y1=y, y2=y, cls="as-thin"),
                tag("line", x1=x(p25), x2=x(p75), y1=y, y2=y, cls="as-thick"),
                tag("circle", cx=x(median), cy=y, r=3.6, cls="as-dot"),
                tag("text", f"{count:,}", x=drawn, y=y + 4, cls="as-tick", text_anchor="end"),
                cls="as-row as-on" if label == selected else "as-row",
                data_tip=says,
                **click,
            )
        )
    svg = tag("svg", shapes, viewBox=f"0 0 {drawn} {height}", role="img", aria_label=alt)
    cells = [(r[0], *(number(v) for v in r[1:6]), f"{r[6]:,}") for r in rows]
    return chart(svg, name, numbers=table([unit, "p5", "p25", "median", "p75", "p95", "items"], cells, keep=name))


def patch_grid(
    values: NDArray[Any],
    extra: Sequence[tuple[str, float]],
    alt: str,
    name: str,
    says: str,
    low: float,
    high: float,
) -> Html:
    """Values of the patches [rows, columns] as coloured squares, with positions that have no place (CLS) beside them."""
    rows, columns = values.shape
    step, gap = 20, 1.5
    squares = []
    for row in range(rows):
        for column in range(columns):
            value = float(values[row, column])
            squares.append(
                _square(
                    column * step,
                    row * step,
                    step - gap,
                    value,
                    low,
                    high,
                    f"row {row + 1}, column {column + 1}: {says} {value:.1f}",
                )
            )
    wide = columns * step
    for place, (label, value) in enumerate(extra):
        y = place * (step * 2)
        squares.append(_square(wide + 18, y, step * 1.5, value, low, high, f"{label}: {says} {value:.1f}"))
        squares.append(tag("text", f"{label} {value:.1f}", x=wide + 18, y=y + step * 1.5 + 12, cls="as-tick"))
    size = f"0 0 {wide + (80 if extra else 0)} {rows * step}"
    svg = tag("svg", squares, viewBox=size, role="img", aria_label=alt, style="max-width:380px")
    cells = [(r + 1, *(f"{values[r, c]:.1f}" for c in range(columns))) for r in range(rows)]
    cells += [(label, f"{value:.1f}", *([""] * (columns - 1))) for label, value in extra]
    return chart(svg, name, numbers=table(["row", *map(str, range(1, columns + 1))], cells, keep=name))


def _square(x: float, y: float, side: float, value: float, low: float, high: float, says: str) -> Html:
    return tag("rect", x=x, y=y, width=side, height=side, rx=1.5, fill=colour(value, low, high), data_tip=says)


def colour(value: float, low: float, high: float) -> str:
    """Viridis colour of a value in ``[low, high]``, as CSS."""
    share = min(max((value - low) / ((high - low) or 1), 0), 1)
    return "#{:02x}{:02x}{:02x}".format(*VIRIDIS[int(share * 255)])


def legend(low: float, high: float, text: str) -> Html:
    """The viridis scale with its ends named."""
    stops = ",".join(colour(v, 0, 8) for v in range(9))
    bar = tag("i", style=f"background:linear-gradient(90deg,{stops})")
    return tag("div", tag("span", text), tag("em", number(low)), bar, tag("em", f"{number(high)}+"), cls="as-legend")


def linear_ticks(low: float, high: float, about: int = 6, whole: bool = False) -> list[float]:
    """Round numbers inside ``[low, high]``, about ``about`` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    if whole:
        step = max(1.0, float(math.ceil(step)))
    first = math.ceil(low / step)
    return [round(k * step, 12) for k in range(first, math.floor(high / step) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten inside ``[low, high]``, at most eight."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        ticks = [m * 10.0**p for p in powers for m in steps if low <= m * 10.0**p <= high]
        if len(ticks) <= 8:
            return ticks
    return ticks[:: math.ceil(len(ticks) / 8)]


def _count_ticks(largest: int, log: bool) -> list[int]:
    if not log:
        return [int(v) for v in linear_ticks(0, largest, 3) if v > 0]
    powers = [10**p for p in range(12) if 10**p <= largest]
    return powers if len(powers) <= 4 else powers[:: math.ceil(len(powers) / 4)]


def caption(*parts: object) -> Html:
    """A quiet line below a chart."""
    return tag("p", join(*parts), cls="as-caption")
