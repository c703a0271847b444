"""The logit lens's entropy after each layer, as a chart."""

from __future__ import annotations

from app import ui
from app.ui import Html, tag
from app.ui.charts import chart
from engine.retrieval.search.events import FineRecord


def layer_chart(
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
