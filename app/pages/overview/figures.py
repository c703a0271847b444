"""Figures of the Overview: data frame in, markup out. SVG in the theme's colours, so light and dark need no second drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app import ui
from app.ui.charts import chart
from app.ui.html import Html, tag

WIDTH, HEIGHT = 250, 132
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 22, 24
POINTS = 160
"""Points of a drawn line: more than a pixel each is nothing a person can see."""


class Curve(NamedTuple):
    """One panel of the training figure: what it shows, the column, a second column drawn as dots, what 0 means."""

    title: str
    column: str
    dots: str = ""
    log: bool = False


CURVES = (
    Curve("normalised MSE", "nmse", "validation_nmse", log=True),
    Curve("variance unexplained", "fvu", log=True),
    Curve("active atoms per token (L0)", "l0"),
    Curve("dead atoms", "dead"),
    Curve("loss", "loss"),
)


def training_curves(training: pd.DataFrame, panels: int = 3) -> Html:
    """The training log as small panels over tokens seen: error, sparsity, dead atoms; the loss if there is room.

    Parameters
    ----------
    training : ``training.parquet``; columns it lacks, or that hold no number, are left out
    """
    usable = [c for c in CURVES if c.column in training and np.isfinite(training[c.column].to_numpy(float)).sum() > 1]
    shown = [_panel(training, curve) for curve in usable[:panels]]
    return tag("div", shown, cls="as-curves")


def _panel(training: pd.DataFrame, curve: Curve) -> Html:
    along = "tokens" if "tokens" in training else "step"
    x = training[along].to_numpy(float)
    y = training[curve.column].to_numpy(float)
    log = curve.log and bool(np.nanmin(y) > 0) and np.nanmax(y) / np.nanmin(y) > 5
    dots = training[curve.dots].to_numpy(float) if curve.dots in training else np.full(len(x), np.nan)
    known = np.concatenate([y[np.isfinite(y)], dots[np.isfinite(dots)]])
    low, high = (float(known.min()) if log else min(0.0, float(known.min()))), float(known.max())
    high = high if high > low else low + 1
    span = float(x.max()) or 1.0

    def across(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / span

    def down(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    kept = _thin(x, y)
    path = "M" + "L".join(f"{across(x[i]):.1f} {down(y[i]):.1f}" for i in kept)
    marks = [
        tag(
            "circle",
            cx=f"{across(x[i]):.1f}",
            cy=f"{down(dots[i]):.1f}",
            r=2.4,
            cls="as-held",
            data_tip=f"held out: {ui.number(dots[i])}",
        )
        for i in np.flatnonzero(np.isfinite(dots))
    ]
    axis = [
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{down(tick):.1f}", y2=f"{down(tick):.1f}", cls="as-rule")
        for tick in (low, high)
    ]
    axis += [
        tag("text", _short(tick), x=LEFT - 6, y=f"{down(tick) + 3.5:.1f}", cls="as-tick", text_anchor="end")
        for tick in (low, high)
    ]
    axis += [
        tag("text", "0", x=LEFT, y=HEIGHT - 8, cls="as-tick"),
        tag("text", f"{ui.compact(span)} {along}", x=WIDTH - RIGHT, y=HEIGHT - 8, cls="as-tick", text_anchor="end"),
        tag("text", curve.title + (" (log)" if log else ""), x=LEFT, y=12, cls="as-name"),
    ]
    last = int(kept[-1])
    end = [
        tag("circle", cx=f"{across(x[last]):.1f}", cy=f"{down(y[last]):.1f}", r=3, cls="as-end"),
        tag("text", _short(y[last]), x=WIDTH - RIGHT, y=f"{down(y[last]) - 7:.1f}", cls="as-value", text_anchor="end"),
    ]
    alt = f"{curve.title} over {ui.compact(span)} training {along}: from {_short(y[kept[0]])} to {_short(y[last])}"
    svg = tag(
        "svg",
        axis,
        tag("path", d=path, cls="as-line"),
        marks,
        end,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=alt,
    )
    rows = [(f"{x[i]:,.0f}", ui.number(float(y[i]))) for i in kept[:: max(len(kept) // 24, 1)]]
    return chart(
        svg, f"training-{curve.column}", numbers=ui.table([along, curve.title], rows, keep=f"training-{curve.column}")
    )


def support_histogram(support: NDArray[np.integer], quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> Html:
    """How many tokens have how many active atoms.

    Parameters
    ----------
    support : support size of every token, any shape
    """
    sizes = np.asarray(support).ravel()
    if not sizes.size:
        return tag("p", "This atlas holds no tokens.")
    top = int(np.quantile(sizes, 0.999)) + 1
    step = max(math.ceil(top / 60), 1)
    edges = np.arange(0, top + 2 * step, step)
    counts = np.histogram(np.minimum(sizes, edges[-1]), edges)[0]  # the few beyond the last bin are counted in it
    marks = [(float(np.quantile(sizes, q)), _mark(q, float(np.quantile(sizes, q)))) for q in quantiles]
    middle, most = np.quantile(sizes, [0.5, 0.95])
    alt = f"Active atoms per token: median {middle:.0f}, mean {sizes.mean():.1f}, 95th percentile {most:.0f}"
    return ui.histogram(
        edges,
        counts,
        alt=alt,
        name="support-size",
        x_label="active atoms per token (L0)",
        log_counts=False,
        tick_labels=[(v, f"{v:g}") for v in _round_ticks(top)],
        marks=marks,
        width=400,
        height=170,
    )


def _mark(quantile: float, value: float) -> str:
    return f"median: {value:.0f}" if quantile == 0.5 else f"{quantile:.0%} of tokens have at most {value:.0f}"


def _round_ticks(top: int) -> list[int]:
    stride = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000) if top / s <= 8)
    return list(range(0, top + 1, stride))


def _thin(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """At most ``POINTS`` rows with a number, first and last among them."""
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(known) <= POINTS:
        return known
    return known[np.unique(np.linspace(0, len(known) - 1, POINTS).round().astype(int))]


def _short(value: float) -> str:
    return ui.compact(value) if abs(value) >= 1000 else ui.number(value, 2 if abs(value) < 10 else 3)
