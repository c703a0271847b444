"""Pool strip, fine cards, tie panel and the funnel above the steps: pure functions from a search to markup."""

from __future__ import annotations

from app import atlas_ui, ui
from app.pages.retrieval.scene import CACHES, UNITS, Scene, cut, moved, score_bar, signed
from app.pages.retrieval.view import LOW_MASS, Row, View
from app.ui import Figure, Html, tag

_MASS = (
    "P(True) + P(False): how much of the model's probability went to the answers it was offered. When it is low, the "
    "prompt failed and the score says little."
)
_ENTROPY = "Entropy of the next token over the whole vocabulary, in nats: 0 is certain. The tie rule looks at it."


def funnel(scene: Scene, view: View) -> Html:
    """The stages from the gallery to one answer: how many items each leaves, and how long it took."""
    pool, done = view.pool, view.done
    seconds = done.seconds if done is not None else {}
    first = view.final[0] if view.rows and (view.read or done is not None) else None
    blocks = [
        _block("searched", f"{pool.gallery:,}" if pool else "…", "by cosine of embeddings"),
        _block("in the pool", f"{len(view.rows)}" if pool else "…", _seconds(pool.seconds) if pool else "coarse stage"),
        _block(
            "read by the model",
            f"{view.read} of {len(view.rows)}" if pool and not done else f"{view.read}" if pool else "…",
            _seconds(seconds["fine"]) if view.read and "fine" in seconds else "fine stage",
            share=view.read / len(view.rows) if view.rows and done is None and view.skipped is None else None,
        ),
    ]
    if first is not None:
        blocks.append(
            tag(
                "li",
                scene.pic(first.entry.item, failed=first.status == "failed"),
                tag(
                    "span",
                    tag("em", "first" if done is not None else "first so far"),
                    tag("b", cut(scene.caption(first.entry.item), 60)),
                    tag("em", _why(first, view)),
                ),
                cls="as-first",
            )
        )
    return tag("ol", blocks, cls="as-funnel", aria_label="From the gallery to the answer")


def _why(first: Row, view: View) -> str:
    if first.score is None:
        return f"by its cosine, {first.entry.score:.3f}"
    rank = f", coarse rank {first.entry.rank}" if first.entry.rank != first.place else ""
    return f"{UNITS.get(view.mode, view.mode)} {signed(first.score, view.mode)}{rank}"


def _block(label: str, value: str, note: str, share: float | None = None) -> Html:
    bar = tag("s", tag("i", style=f"width:{100 * share:.0f}%"), cls="as-progress") if share is not None else None
    return tag("li", tag("em", label), tag("b", value), bar or tag("em", note))


def _seconds(value: float) -> str:
    return _milliseconds(1000 * value) if value < 1 else f"{value:.1f} s"


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value >= 1 else "< 1 ms"


def strip(scene: Scene, view: View) -> Html:
    """The coarse pool, best first: picture, rank, cosine."""
    cards = [
        tag(
            "figure",
            scene.pic(row.entry.item, failed=row.status == "failed"),
            tag("span", row.entry.rank, cls="as-rank"),
            tag(
                "figcaption",
                tag("b", f"{row.entry.score:.3f}"),
                scene.mark(row.entry.item),
                scene.caption(row.entry.item),
            ),
        )
        for row in view.rows
    ]
    return tag("div", cards, cls="as-grid as-pool")


def ceiling(scene: Scene, view: View) -> Html:
    """What the coarse stage allows: where the known answer stands in the whole gallery, and so how good fine can get."""
    pool = view.pool
    assert pool is not None  # drawn once the pool is there
    shown = [
        Figure("gallery", f"{pool.gallery:,}", "Items whose embeddings were compared with the query's.", "items"),
        Figure("pool", f"{len(view.rows)}", "The items the multimodal model will read."),
        Figure("coarse time", _seconds(pool.seconds), "Embedding the query and searching the whole gallery exactly."),
    ]
    if pool.answer_rank is not None:
        inside = pool.answer_rank <= len(view.rows)
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
                f"at k = {len(view.rows)}",
            )
        )
    notes = []
    if pool.answer_rank is not None and pool.answer_rank > len(view.rows):
        notes.append(
            ui.warn(
                f"The answer is not in the pool: no fine score can bring it back. A pool of {pool.answer_rank:,} would "
                "hold it."
            )
        )
    if scene.request.k > len(view.rows):
        notes.append(
            ui.warn(
                f"You asked for a pool of {scene.request.k}; the gallery has {pool.gallery:,}, so all of it is read."
            )
        )
    return tag("div", ui.figures(shown, small=True), notes, cls="as-block")


def cards(scene: Scene, view: View) -> Html:
    """Every candidate the model reads, as a card that fills in; by coarse rank while it reads, by place afterwards."""
    rows = view.final if view.done is not None else view.rows
    return tag("div", [_card(scene, view, row) for row in rows], cls="as-cards")


def _card(scene: Scene, view: View, row: Row) -> Html:
    settled = view.done is not None
    badge = tag("span", row.place if settled else row.entry.rank, cls="as-rank")
    body = {"scored": _scored, "failed": _failed, "waiting": _waiting, "unread": _unread}[row.status](view, row)
    words = tag("p", scene.mark(row.entry.item), cut(scene.caption(row.entry.item), 90), cls="as-words-2")
    head = tag("div", scene.pic(row.entry.item, failed=row.status == "failed"), badge, moved(row) if settled else None)
    first = settled and row.place == 1
    cls = f"as-card as-{row.status}" + (" as-winner" if first else "")
    return tag("article", head, words, body, cls=cls)


def _scored(view: View, row: Row) -> Html:
    record = row.record
    assert record is not None  # a scored row has one
    unit = UNITS.get(record.mode, record.mode)
    head = tag(
        "div",
        tag("b", signed(record.score, record.mode), data_tip=f"Fine score: {unit}"),
        score_bar(row, view.rows, record.mode),
        cls="as-score-line",
    )
    facts: list[tuple[str, str, str]] = []
    if record.p_true is not None:
        facts.append(("P(True)", f"{record.p_true:.1%}", "Probability that the next token spells True."))
    if record.entropy is not None:
        facts.append(("entropy", f"{record.entropy:.2f}", _ENTROPY))
    if record.label_mass is not None:
        facts.append(("label mass", f"{record.label_mass:.1%}", _MASS))
    reused = f"; {CACHES.get(record.cache, record.cache)}" if record.cache else ""
    facts.append(
        ("time", _milliseconds(record.milliseconds), f"Wall time of this candidate, its share of a batch{reused}.")
    )
    facts.append(("cosine", f"{row.entry.score:.3f}", "The coarse score."))
    listed = tag(
        "dl",
        [tag("div", tag("dt", name, data_tip=tip), tag("dd", value)) for name, value, tip in facts],
        cls="as-facts",
    )
    notes: list[Html] = []
    if row.low_mass:
        notes.append(
            ui.warn(
                f"Label mass below {LOW_MASS:.0%}: the model wanted to say something else than True or False.", _MASS
            )
        )
    if not record.parsed:
        notes.append(ui.warn(f"Its answer “{cut(record.text, 40)}” could not be read as a score: it counts 0."))
    chips = []
    if record.cache:
        chips.append(ui.chip(f"cache: {record.cache}", "plain", CACHES.get(record.cache, "")))
    if record.fired_layer is not None:
        chips.append(
            ui.chip(
                f"enhanced after layer {record.fired_layer + 1}", "plain", "Visual enhancement acted in this reading."
            )
        )
    return ui.join(head, listed, tag("p", chips, cls="as-chips") if chips else None, notes)


def _failed(view: View, row: Row) -> Html:
    says = row.record.error if row.record is not None and row.record.error else "The model could not read it."
    return ui.join(
        tag("p", ui.chip("failed", "bad", "It keeps its coarse rank behind those that were scored."), cls="as-chips"),
        tag("p", says, cls="as-caption"),
    )


def _waiting(view: View, row: Row) -> Html:
    line = tag("span", cls="as-skeleton")
    return tag("div", line, line, line, tag("em", f"cosine {row.entry.score:.3f}"), cls="as-wait", aria_label="waiting")


def _unread(view: View, row: Row) -> Html:
    return tag("p", ui.chip("not read"), f" cosine {row.entry.score:.3f}", cls="as-caption")


def tie(scene: Scene, view: View) -> Html | None:
    """The tie at the top: who shared the best score, and both orders."""
    event = view.tie
    if event is None:
        return None
    rows = {row.entry.item: row for row in view.rows}
    tied = [rows[item] for item in event.tied if item in rows]
    after = sorted(tied, key=lambda row: row.entry.item != event.winner)
    winner = rows.get(event.winner)
    notes = []
    p_true = winner.record.p_true if winner is not None and winner.record is not None else None
    if p_true is not None and p_true < 0.5:
        notes.append(
            ui.warn(
                "The winner is a confident False: low entropy says how sure the model is, not that the picture fits."
            )
        )
    outcome = "the rule changed who is first" if event.moved else "the first one stayed first"
    head = ui.section(
        atlas_ui.term("A tie at the top", "tie rule"), f"{len(tied)} candidates share the best fine score; {outcome}"
    )
    orders = tag(
        "div",
        _order(scene, "By coarse rank", tied),
        tag("span", "→", cls="as-arrow", aria_hidden="true"),
        _order(scene, "By lowest entropy (paper rule)", after),
        cls="as-tie",
    )
    return tag("section", head, orders, notes, cls="as-panel")


def _order(scene: Scene, title: str, rows: list[Row]) -> Html:
    listed = [
        tag(
            "li",
            scene.pic(row.entry.item),
            tag("b", place),
            tag("em", f"entropy {row.record.entropy:.4f}" if row.record and row.record.entropy is not None else "–"),
        )
        for place, row in enumerate(rows, 1)
    ]
    return tag("div", tag("p", title, cls="as-caption"), tag("ol", listed))
