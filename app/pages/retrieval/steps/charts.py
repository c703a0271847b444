"""Charts of the Retrieval page as SVG in the theme's colours, each with its table: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app import ui, urls
from app.pages.retrieval.scene import Scene, cut, signed
from app.pages.retrieval.view import Row, SweepPoint, View
from app.ui import Bar, Html, tag
from app.ui.charts import chart
from engine.retrieval.search.events import FineRecord, PoolReady, TokenChance


def cosines(pool: PoolReady, width: int = 620) -> Html:
    """All cosines of the gallery with the pool marked."""
    scores = np.asarray(pool.scores, float)
    if not scores.size:
        return tag("p", "The gallery is empty.", cls="as-caption")
    low, high = float(scores.min()), float(scores.max())
    margin = 0.02 * (high - low) or 0.01
    counts, edges = np.histogram(scores, bins=48, range=(low - margin, high + margin))
    listed = pool.entries if len(pool.entries) <= 12 else [pool.entries[0], pool.entries[-1]]
    marks = [(entry.score, f"pool rank {entry.rank}: {entry.score:.3f}") for entry in listed]
    sampled = " (a sample)" if len(scores) < pool.gallery else ""
    least = pool.entries[-1].score if pool.entries else high
    return ui.histogram(
        edges,
        counts,
        alt=f"Cosines of {pool.gallery:,} items with the query, from {low:.3f} to {high:.3f}; the pool begins at {least:.3f}",
        name="cosines",
        x_label="cosine with the query",
        y_label=f"items{sampled}",
        tick_labels=[(v, f"{v:.2f}") for v in _round(low, high, 6)],
        marks=marks,
        width=width,
        height=190,
    )


def _round(low: float, high: float, about: int) -> list[float]:
    raw = max((high - low) / about, 1e-6)
    power = 10 ** np.floor(np.log10(raw))
    step = float(next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw))
    return [round(float(k * step), 10) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def slope(scene: Scene, view: View) -> Html:
    """Rank movement: coarse rank on the left, final place on the right, one line a candidate."""
    rows = view.rows
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
        cls += " as-answer" if row.entry.item == scene.answer else ""
        cls += " as-top" if row.place == 1 else ""
        score = signed(row.score, view.mode) if row.score is not None else row.status
        name = scene.caption(row.entry.item)
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
                _thumb(scene, row, left - 14 - side, start, side),
                _thumb(scene, row, right + 14, end, side),
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
                signed(r.score, view.mode) if r.score is not None else r.status,
            )
            for r in view.final
        ],
        keep="rank-movement",
    )
    svg = tag("svg", shapes, viewBox=f"0 0 {width} {height}", role="img", aria_label=alt, cls="as-slopes")
    return chart(svg, "rank-movement", numbers=numbers)


def _thumb(scene: Scene, row: Row, x: float, middle: float, side: int) -> Html | None:
    item = row.entry.item
    if not side or row.status == "failed" or scene.items["kind"].iat[item] == "text":
        return None
    place = {"x": x, "y": f"{middle - side / 2:.1f}", "width": side, "height": side}
    return tag("image", href=urls.corpus_thumb(scene.content, item), preserveAspectRatio="xMidYMid slice", **place)


def layers(
    plain: FineRecord | None, enhanced: FineRecord | None, threshold: float | None, first: int, last: int
) -> Html:
    """Logit-lens entropy after each decoder layer, without and with enhancement, and the layer that fired.

    Parameters
    ----------
    threshold : entropy above which enhancement may act; None is not drawn
    first, last : layers, counted from 0, after which it may act
    """
    lines = [
        (record.layer_entropy, name, cls)
        for record, name, cls in ((plain, "off", "as-off"), (enhanced, "on", "as-line"))
        if record is not None and record.layer_entropy
    ]
    if not lines:
        return tag("p", "This reading recorded no entropy per layer.", cls="as-caption")
    depth = max(len(values) for values, _, _ in lines)
    width, height, left, right, top, bottom = 620, 230, 40, 64, 12, 34
    base = height - bottom

    def x(layer: float) -> float:
        return left + (width - left - right) * layer / max(depth - 1, 1)

    def y(value: float) -> float:
        return base - (base - top) * min(max(value, 0), 1)

    shapes: list[Html] = []
    if threshold is not None:
        begin, end = x(first - 0.5), x(last + 0.5)
        shapes.append(
            tag(
                "rect",
                x=f"{begin:.1f}",
                y=top,
                width=f"{end - begin:.1f}",
                height=base - top,
                cls="as-band",
                data_tip="Layers after which enhancement may act",
            )
        )
        shapes.append(
            tag(
                "line",
                x1=left,
                x2=width - right,
                y1=f"{y(threshold):.1f}",
                y2=f"{y(threshold):.1f}",
                cls="as-mark",
                data_tip=f"It acts above {threshold:g}",
            )
        )
    for tick in (0, 0.5, 1):
        shapes.append(tag("line", x1=left, x2=width - right, y1=f"{y(tick):.1f}", y2=f"{y(tick):.1f}", cls="as-rule"))
        shapes.append(tag("text", f"{tick:g}", x=left - 6, y=f"{y(tick) + 3.5:.1f}", cls="as-tick", text_anchor="end"))
    for layer in range(0, depth, max(1, depth // 10)):
        shapes.append(tag("text", layer + 1, x=f"{x(layer):.1f}", y=base + 14, cls="as-tick", text_anchor="middle"))
    shapes.append(tag("text", "decoder layer", x=width - right, y=height - 4, cls="as-label", text_anchor="end"))
    shapes.append(tag("text", "normalised entropy of the lens's ten best words", x=left, y=height - 4, cls="as-label"))
    ends: list[float] = []
    for values, name, cls in lines:
        points = "L".join(f"{x(i):.1f} {y(v):.1f}" for i, v in enumerate(values))
        shapes.append(tag("path", d=f"M{points}", cls=cls))
        shapes += [
            tag(
                "circle",
                cx=f"{x(i):.1f}",
                cy=f"{y(v):.1f}",
                r=5,
                cls="as-hit",
                data_tip=f"{name}, layer {i + 1}: {v:.3f}",
            )
            for i, v in enumerate(values)
        ]
        end = y(values[-1])
        end += 13 if any(abs(end - other) < 12 for other in ends) else 0
        ends.append(end)
        shapes.append(tag("text", name, x=width - right + 8, y=f"{end + 4:.1f}", cls="as-name"))
    fired = enhanced.fired_layer if enhanced is not None else None
    if enhanced is not None and fired is not None and fired < len(enhanced.layer_entropy):
        value = enhanced.layer_entropy[fired]
        shapes.append(
            tag(
                "circle",
                cx=f"{x(fired):.1f}",
                cy=f"{y(value):.1f}",
                r=6,
                cls="as-fired",
                data_tip=f"fired after layer {fired + 1}",
            )
        )
        shapes.append(
            tag(
                "text",
                f"fired after layer {fired + 1}",
                x=f"{x(fired) + 9:.1f}",
                y=f"{y(value) - 9:.1f}",
                cls="as-value",
            )
        )
    told = f"; enhancement fired after layer {fired + 1}" if fired is not None else ""
    alt = f"Logit-lens entropy after each of {depth} decoder layers{told}"
    numbers = ui.table(
        ["layer", *(name for _, name, _ in lines)],
        [(i + 1, *(f"{values[i]:.3f}" if i < len(values) else "" for values, _, _ in lines)) for i in range(depth)],
        keep="layer-entropy",
    )
    svg = tag("svg", shapes, viewBox=f"0 0 {width} {height}", role="img", aria_label=alt)
    return chart(svg, "layer-entropy", numbers=numbers)


def tokens(chances: Sequence[TokenChance]) -> Html:
    """The likeliest next tokens with their probabilities; spaces and line ends made visible."""
    shown = [Bar(visible(c.token), c.probability, ui.percent(c.probability)) for c in chances]
    return ui.bars(shown, alt="Likeliest next tokens", limit=1.0)


def visible(token: str) -> str:
    """A token as a person can read it."""
    return token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "(empty)"


def sweep_chart(points: Sequence[SweepPoint], answer_rank: int | None) -> Html:
    """Place of the known answer for every pool size; outside the pool is drawn as a gap at the bottom."""
    most = points[-1].k
    deepest = max([point.answer for point in points if point.answer is not None], default=1)
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
    known = [point for point in points if point.answer is not None]
    if len(known) > 1:
        path = "L".join(f"{x(point.k):.1f} {y(point.answer or 0):.1f}" for point in known)
        shapes.append(tag("path", d=f"M{path}", cls="as-line"))
    for point in points:
        says = f"place {point.answer}" if point.answer is not None else "not in the pool"
        at = y(point.answer) if point.answer is not None else base - 9
        cls = "as-dot" if point.answer is not None else "as-held"
        shapes.append(
            tag("circle", cx=f"{x(point.k):.1f}", cy=f"{at:.1f}", r=4.5, cls=cls, data_tip=f"k = {point.k}: {says}")
        )
    enters = f"; the coarse stage lets it in from k = {answer_rank}" if answer_rank is not None else ""
    alt = f"Place of the answer for pool sizes 1 to {most}{enters}"
    svg = tag("svg", shapes, viewBox=f"0 0 {width} {height}", role="img", aria_label=alt)
    return chart(svg, "k-sweep", ("pool size", "answer"))
