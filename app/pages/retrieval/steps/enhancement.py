"""Visual enhancement: every candidate read without and with it, and the entropy that decided."""

from __future__ import annotations

from app import atlas_ui, ui
from app.pages.retrieval.outcome import Outcome, PoolRow
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.steps.layer_chart import layer_chart
from app.pages.retrieval.view import chooser, empty_step, signed
from app.ui import Html, cut, tag
from engine.retrieval.search.events import FineRecord


def enhancement(context: StepContext, outcome: Outcome) -> Html:
    """Every candidate read without and with visual enhancement, and the entropy that decided."""
    row = outcome.chosen(context.picked)
    if row is None:
        return empty_step("No candidate has been scored, so there is nothing to enhance.")
    on = context.request.enhance != "off"
    both = [r for r in outcome.final if r.status == "scored" and r.plain is not None]
    plain = row.plain if row.plain is not None else (None if on else row.record)
    enhanced = row.record if on else None
    left = _off_on(context, both, outcome.mode) if both else _off(on)
    fired = [r for r in both if r.record is not None and r.record.fired_layer is not None]
    told = f"it fired for {len(fired)} of {len(both)} candidates" if both else "switched off in this search"
    right = tag(
        "div",
        ui.section("Entropy after each layer", cut(context.caption(row.entry.item), 46)),
        chooser(context, outcome, row),
        layer_chart(plain, enhanced, *_acts(context, enhanced)),
        tag(
            "p",
            "After each decoder layer the logit lens asks which word would come next; the entropy of its ten best words, "
            "divided by ln 10, is 1 when it has no idea. Above the dashed line, inside the shaded layers, visual tokens are "
            "injected again.",
            cls="as-caption",
        ),
    )
    head = ui.section(atlas_ui.term("Visual enhancement", "visual enhancement"), told)
    return tag("section", tag("div", tag("div", head, left), right, cls="as-halves"), cls="as-step")


def _acts(context: StepContext, record: FineRecord | None) -> tuple[float | None, int, int]:
    """Entropy above which the chosen preset acts, and the first and last layer after which it may."""
    if record is None or not record.layer_entropy:
        return None, 0, 0
    # torch comes with it, and is there once a model has read
    from engine.retrieval.fine.enhancement.settings import resolve

    assert context.request.enhancement is not None  # an enhanced record was asked for
    chosen = resolve(context.request.enhancement, len(record.layer_entropy))
    return chosen.threshold, chosen.first, chosen.last


def _off(on: bool) -> Html:
    text = (
        "These readings were made without enhancement only: the model, or this score mode, does not support it."
        if on
        else "Long texts make a model forget what it saw. Enhancement puts visual tokens back into a layer's output when the "
        "model is unsure. Choose a preset under Settings and search again, or press the button below: every candidate is "
        "then read twice, without and with it."
    )
    return tag("p", text, cls="as-caption")


def _off_on(context: StepContext, rows: list[PoolRow], mode: str) -> Html:
    body = []
    ranks = {r.entry.item: p for p, r in enumerate(sorted(rows, key=lambda r: -(_plain(r))), 1)}
    for row in rows:
        record = row.record
        assert record is not None  # a scored row has one
        change = (record.score or 0) - _plain(row)
        layer = "–" if record.fired_layer is None else f"{record.fired_layer + 1}"
        cls = "as-up" if change > 1e-9 else "as-down" if change < -1e-9 else ""
        body.append(
            tag(
                "tr",
                tag(
                    "td",
                    tag("span", context.pic(row.entry.item), cls="as-tiny"),
                    cut(context.caption(row.entry.item), 34),
                ),
                tag("td", signed(_plain(row), mode), tag("em", f"place {ranks[row.entry.item]}")),
                tag("td", signed(record.score, mode), tag("em", f"place {row.place}")),
                tag("td", tag("span", signed(change, "log-odds"), cls=cls)),
                tag("td", layer),
            )
        )
    names = ("candidate", "off", "on", "change", "layer")
    head = tag("thead", tag("tr", [tag("th", name) for name in names]))
    return tag("table", head, tag("tbody", body), cls="as-off-on")


def _plain(row: PoolRow) -> float:
    return float(row.plain.score or 0.0) if row.plain is not None else float(row.score or 0.0)
