"""Headline figures, status chips, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.ui.html import Html, tag


@dataclass(frozen=True)
class Figure:
    """One number that matters: what it is, its value as text, what it means, and a small note below."""

    label: str
    value: str
    definition: str = ""
    note: str = ""


def figures(shown: Sequence[Figure], small: bool = False) -> Html:
    """A row of figures. The definition is one hover (or one Tab) away."""
    return tag("dl", [_figure(figure) for figure in shown], cls="as-figures as-small" if small else "as-figures")


def _figure(figure: Figure) -> Html:
    tip = figure.definition or None
    name = tag("dt", figure.label, cls="as-term" if tip else None, data_tip=tip, tabindex=0 if tip else None)
    note = tag("span", figure.note, cls="as-note") if figure.note else None
    return tag("div", name, tag("dd", figure.value, note))


def chip(text: str, kind: str = "plain", definition: str = "") -> Html:
    """A small label: ``plain``, ``good``, ``warn`` or ``bad``. The text says it, the colour only helps."""
    tip = definition or None
    return tag("span", text, cls=f"as-chip as-{kind}", data_tip=tip, tabindex=0 if tip else None)


def number(value: float | None, digits: int = 3) -> str:
    """A number as a page shows it: ``1,234``, ``0.0312``, ``1.2e-06``; an en dash when there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−") if size >= 1e-4 else f"{value:.1e}".replace("-", "−", 1)


def percent(share: float | None) -> str:
    """A share as percent with as many digits as it needs: ``12%``, ``0.35%``, ``0.0012%``."""
    if share is None or not math.isfinite(share):
        return "–"
    points = 100 * share
    if points == 0:
        return "0%"
    if points > 99.5 and share < 1:
        return f"{min(points, 99.99):.4g}%"  # nearly all is not all
    if points >= 10:
        return f"{points:.0f}%"
    return f"{points:.2g}%" if points >= 1e-4 else f"{points:.0e}%"


def compact(value: float) -> str:
    """A count in little room: ``950``, ``12.3k``, ``4.1M``."""
    for limit, divisor, unit in ((1e3, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (math.inf, 1e9, "G")):
        if abs(value) < limit:
            return f"{value / divisor:.3g}{unit}"
    raise AssertionError("unreachable")
