"""The coarse pool: its pictures, where it lies among all cosines, and how good the fine stage can get."""

from __future__ import annotations

import numpy as np

from app import ui
from app.pages.retrieval.outcome import Outcome
from app.pages.retrieval.step_context import StepContext
from app.pages.retrieval.view import seconds
from app.ui import Figure, Html, tag
from app.ui.charts import linear_ticks
from engine.retrieval.search.events import PoolReady


def pool(context: StepContext, outcome: Outcome) -> Html:
    """Step 1: the coarse pool."""
    assert outcome.pool is not None  # the page asks for it once it is there
    return tag(
        "section",
        ceiling(context, outcome),
        ui.section("The pool", "nearest by cosine; these are what the model will read"),
        strip(context, outcome),
        tag(
            "div",
            tag(
                "div",
                ui.section("Where the pool lies", "cosines of the whole gallery; the dashed lines are the pool"),
                cosines(outcome.pool),
            ),
            tag("div", ui.section("Reading this"), tag("p", _reading(outcome), cls="as-caption")),
            cls="as-with-note",
        ),
        cls="as-step",
    )


def _reading(outcome: Outcome) -> str:
    assert outcome.pool is not None  # see pool
    entries = outcome.pool.entries
    text = (
        "Embeddings compare a whole picture with a whole sentence at once: quick, but blind to details. What matters here "
        "is only that the right item is somewhere in the pool."
    )
    if len(entries) > 1:
        lead = entries[0].score - entries[1].score
        text += f" The first leads the second by {lead:.3f}; the pool spans {entries[0].score - entries[-1].score:.3f}."
    return text


def ceiling(context: StepContext, outcome: Outcome) -> Html:
    """What the coarse stage allows: where the known answer stands in the whole gallery, and so how good fine can get."""
    pool = outcome.pool
    assert pool is not None  # drawn once the pool is there
    shown = [
        Figure("gallery", f"{pool.gallery:,}", "Items whose embeddings were compared with the query's.", "items"),
        Figure("pool", f"{len(outcome.rows)}", "The items the multimodal model will read."),
        Figure("coarse time", seconds(pool.seconds), "Embedding the query and searching the whole gallery exactly."),
    ]
    if pool.answer_rank is not None:
        inside = pool.answer_rank <= len(outcome.rows)
        shown.append(
            Figure(
                "answer's coarse rank",
                f"{pool.answer_rank:,}",
                "Rank of the item this query was made from, in the whole gallery.",
                "in the pool" if inside else "not in the pool",
            )
        )
        shown.append(
            Figure(
                "recall ceiling",
                "1" if inside else "0",
                "The fine stage only reorders the pool: what is not in it cannot be found, however good the model is. For "
                "one query the ceiling is 1 or 0; over many queries it is the coarse recall@k.",
                f"at k = {len(outcome.rows)}",
            )
        )
    notes = []
    if pool.answer_rank is not None and pool.answer_rank > len(outcome.rows):
        notes.append(
            ui.warn(
                f"The answer is not in the pool: no fine score can bring it back. A pool of {pool.answer_rank:,} would "
                "hold it."
            )
        )
    if context.request.k > len(outcome.rows):
        notes.append(
            ui.warn(
                f"You asked for a pool of {context.request.k}; the gallery has {pool.gallery:,}, so all of it is read."
            )
        )
    return tag("div", ui.figures(shown, small=True), notes, cls="as-block")


def strip(context: StepContext, outcome: Outcome) -> Html:
    """The coarse pool, best first: picture, rank, cosine."""
    cards = [
        tag(
            "figure",
            context.pic(row.entry.item, failed=row.status == "failed"),
            tag("span", row.entry.rank, cls="as-rank"),
            tag(
                "figcaption",
                tag("b", f"{row.entry.score:.3f}"),
                context.mark(row.entry.item),
                context.caption(row.entry.item),
            ),
        )
        for row in outcome.rows
    ]
    return tag("div", cards, cls="as-grid as-pool")


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
        tick_labels=[(v, f"{v:.2f}") for v in linear_ticks(low, high)],
        marks=marks,
        width=width,
        height=190,
    )
