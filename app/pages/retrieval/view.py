"""What stands around every step, and what several steps draw alike: the funnel, the stepper, the models, marks of a candidate.

Functions from what a search has given so far to markup."""

from __future__ import annotations

import math

from app.pages.retrieval.outcome import Outcome, PoolRow
from app.pages.retrieval.request import STEPS
from app.pages.retrieval.step_context import StepContext
from app.ui import Html, cut, tag

UNITS = {
    "log-odds": "log-odds of True",
    "posterior": "posterior log-odds",
    "true-false": "P(True)",
    "generated": "score the model wrote, 0 to 1",
    "expected": "expected rating, 0 to 9",
    "likelihood": "mean log-likelihood of the caption",
    "listwise": "probability of being chosen",
}
CACHES = {
    "": "nothing was reused",
    "image": "the vision tower's output was reused",
    "prefix": "keys and values of the shared prompt were reused",
    "score": "the whole record was reused",
}


# Around the steps.


def funnel(context: StepContext, outcome: Outcome) -> Html:
    """The stages from the gallery to one answer: how many items each leaves, and how long it took."""
    pool, done = outcome.pool, outcome.done
    took = done.seconds if done is not None else {}
    first = outcome.final[0] if outcome.rows and (outcome.read or done is not None) else None
    blocks = [
        _block("searched", f"{pool.gallery:,}" if pool else "…", "by cosine of embeddings"),
        _block(
            "in the pool", f"{len(outcome.rows)}" if pool else "…", seconds(pool.seconds) if pool else "coarse stage"
        ),
        _block(
            "read by the model",
            f"{outcome.read} of {len(outcome.rows)}" if pool and not done else f"{outcome.read}" if pool else "…",
            seconds(took["fine"]) if outcome.read and "fine" in took else "fine stage",
            share=outcome.read / len(outcome.rows)
            if outcome.rows and done is None and outcome.skipped is None
            else None,
        ),
    ]
    if first is not None:
        blocks.append(
            tag(
                "li",
                context.pic(first.entry.item, failed=first.status == "failed"),
                tag(
                    "span",
                    tag("em", "first" if done is not None else "first so far"),
                    tag("b", cut(context.caption(first.entry.item), 60)),
                    tag("em", _why(first, outcome)),
                ),
                cls="as-first",
            )
        )
    return tag("ol", blocks, cls="as-funnel", aria_label="From the gallery to the answer")


def _why(first: PoolRow, outcome: Outcome) -> str:
    if first.score is None:
        return f"by its cosine, {first.entry.score:.3f}"
    rank = f", coarse rank {first.entry.rank}" if first.entry.rank != first.place else ""
    return f"{UNITS.get(outcome.mode, outcome.mode)} {signed(first.score, outcome.mode)}{rank}"


def _block(label: str, value: str, note: str, share: float | None = None) -> Html:
    bar = tag("s", tag("i", style=f"width:{100 * share:.0f}%"), cls="as-progress") if share is not None else None
    return tag("li", tag("em", label), tag("b", value), bar or tag("em", note))


def stepper(shown: str, outcome: Outcome) -> Html:
    """All steps in order; those that have nothing to show yet are faint."""
    ready = {"pool": outcome.pool is not None, "fine": outcome.pool is not None}
    ready |= {name: bool(outcome.scored) for name in ("enhance", "prompt")}
    ready |= dict.fromkeys(("ranks", "concepts", "sweep", "export"), outcome.done is not None)
    entries = [
        tag(
            "li",
            tag("i", place),
            name,
            cls=("as-on" if key == shown else "") + ("" if ready[key] else " as-later"),
            data_on="step",
            data_value=key,
            tabindex=0,
            role="button",
            aria_current="step" if key == shown else None,
        )
        for place, (key, name) in enumerate(STEPS.items(), 1)
    ]
    return tag("ol", entries, cls="as-steps", aria_label="Steps of this search")


def models_line(outcome: Outcome, title: str, note: str) -> Html:
    """Which models and which corpus answer, always with what they are."""
    known = outcome.started.models if outcome.started is not None else {}
    embedder, reader, corpus = (known.get(name) or {} for name in ("embedder", "mllm", "corpus"))
    parts = []
    if corpus:
        parts.append(tag("span", "searched ", tag("b", corpus.get("name", "")), f", {corpus.get('items', 0):,} items"))
    if embedder:
        name = str(embedder.get("title") or embedder.get("name", ""))
        parts.append(tag("span", "embedded by ", tag("b", name), _note(embedder)))
    said = str(reader.get("note") or note)
    if reader or outcome.skipped is None:
        parts.append(tag("span", "read by ", tag("b", title), f": {said}" if said else ""))
    else:
        parts.append(tag("span", "read by no model: the coarse order stands"))
    return tag("p", parts, cls="as-models")


def _note(identity: dict[str, object]) -> str:
    note = str(identity.get("note") or "")
    return f": {note}" if note else ""


# In several steps.


def chooser(context: StepContext, outcome: Outcome, row: PoolRow) -> Html:
    """The scored candidates as small pictures; a click chooses the one the step is about."""
    small = [
        tag(
            "button",
            context.pic(other.entry.item),
            tag("em", other.place),
            cls="as-on" if other is row else None,
            data_on="pick",
            data_value=other.entry.item,
            aria_label=f"Candidate {other.place}: {context.caption(other.entry.item)}",
        )
        for other in outcome.final
        if other.status == "scored"
    ]
    return tag("div", small, cls="as-chooser")


def empty_step(sentence: str) -> Html:
    """A step that has nothing to show, and why."""
    return tag("section", tag("p", sentence, cls="as-caption"), cls="as-step")


def signed(value: float | None, mode: str = "log-odds") -> str:
    """A fine score as text; log-odds and likelihoods with their sign."""
    if value is None or not math.isfinite(value):
        return "–"
    if mode in ("log-odds", "posterior"):
        return f"{value:+.2f}".replace("-", "−")
    return f"{value:.3f}".replace("-", "−")


def moved(row: PoolRow) -> Html:
    """How far a candidate moved from its coarse rank."""
    by = row.entry.rank - row.place
    if by == 0:
        return tag("span", "=", cls="as-move", data_tip=f"Coarse rank {row.entry.rank}, unchanged")
    arrow, cls = ("▲", "as-up") if by > 0 else ("▼", "as-down")
    return tag(
        "span",
        f"{arrow}{abs(by)}",
        cls=f"as-move {cls}",
        data_tip=f"Coarse rank {row.entry.rank}, now {row.place}",
    )


def score_bar(row: PoolRow, rows: list[PoolRow], mode: str) -> Html:
    """The fine score as a bar: log-odds grow from the middle, others from the left over the range the mode has."""
    value = row.score or 0.0
    values = [other.score for other in rows if other.score is not None]
    if mode in ("log-odds", "posterior"):
        limit = max([abs(v) for v in values] + [1.0])
        share = 50 * abs(value) / limit
        left = 50 - share if value < 0 else 50
        cls = "as-against" if value < 0 else ""
        bar = tag("i", cls=cls, style=f"left:{left:.1f}%;width:{share:.1f}%")
        return tag("span", bar, tag("s"), cls="as-score as-two-sided", aria_hidden="true")
    low, high = {"true-false": (0.0, 1.0), "generated": (0.0, 1.0), "expected": (0.0, 9.0), "listwise": (0.0, 1.0)}.get(
        mode, (min(values, default=0.0), max(values, default=1.0))
    )
    share = 100 * (value - low) / ((high - low) or 1)
    return tag("span", tag("i", style=f"left:0;width:{max(share, 2):.1f}%"), cls="as-score", aria_hidden="true")


def seconds(value: float) -> str:
    """A short time as text."""
    return milliseconds(1000 * value) if value < 1 else f"{value:.1f} s"


def milliseconds(value: float) -> str:
    """Milliseconds as text."""
    return f"{value:.0f} ms" if value >= 1 else "< 1 ms"
