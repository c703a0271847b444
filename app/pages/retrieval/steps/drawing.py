"""The body of each step of the Retrieval page: pure functions from a search to markup."""

from __future__ import annotations

from collections.abc import Sequence

from app import ui
from app.pages.retrieval.request import STEPS
from app.pages.retrieval.scene import UNITS, Scene, cut, signed
from app.pages.retrieval.steps import cards, charts
from app.pages.retrieval.view import Row, View, sweep
from app.ui import Html, tag


def stepper(shown: str, view: View) -> Html:
    """All steps in order; those that have nothing to show yet are faint."""
    ready = {"pool": view.pool is not None, "fine": view.pool is not None}
    ready |= {name: bool(view.scored) for name in ("enhance", "prompt")}
    ready |= dict.fromkeys(("ranks", "concepts", "sweep", "export"), view.done is not None)
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


def models(view: View, title: str, note: str) -> Html:
    """Which models and which corpus answer, always with what they are."""
    known = view.started.models if view.started is not None else {}
    embedder, reader, corpus = (known.get(name) or {} for name in ("embedder", "mllm", "corpus"))
    parts = []
    if corpus:
        parts.append(tag("span", "searched ", tag("b", corpus.get("name", "")), f", {corpus.get('items', 0):,} items"))
    if embedder:
        name = str(embedder.get("title") or embedder.get("name", ""))
        parts.append(tag("span", "embedded by ", tag("b", name), _note(embedder)))
    said = str(reader.get("note") or note)
    if reader or view.skipped is None:
        parts.append(tag("span", "read by ", tag("b", title), f": {said}" if said else ""))
    else:
        parts.append(tag("span", "read by no model: the coarse order stands"))
    return tag("p", parts, cls="as-models")


def _note(identity: dict[str, object]) -> str:
    note = str(identity.get("note") or "")
    return f": {note}" if note else ""


def pool(scene: Scene, view: View) -> Html:
    """Step 1: the coarse pool."""
    assert view.pool is not None  # the page asks for it once it is there
    return tag(
        "section",
        cards.ceiling(scene, view),
        ui.section("The pool", "nearest by cosine; these are what the model will read"),
        cards.strip(scene, view),
        tag(
            "div",
            tag(
                "div",
                ui.section("Where the pool lies", "cosines of the whole gallery; the dashed lines are the pool"),
                charts.cosines(view.pool),
            ),
            tag("div", ui.section("Reading this"), tag("p", _reading(view), cls="as-caption")),
            cls="as-with-note",
        ),
        cls="as-step",
    )


def _reading(view: View) -> str:
    assert view.pool is not None  # see pool
    entries = view.pool.entries
    text = (
        "Embeddings compare a whole picture with a whole sentence at once: quick, but blind to details. What matters here "
        "is only that the right item is somewhere in the pool."
    )
    if len(entries) > 1:
        lead = entries[0].score - entries[1].score
        text += f" The first leads the second by {lead:.3f}; the pool spans {entries[0].score - entries[-1].score:.3f}."
    return text


def fine(scene: Scene, view: View) -> Html:
    """Step 2: the fine scores, and the tie at the top when there was one."""
    notes = [ui.warn(event.reason) for event in (view.skipped, view.stopped) if event is not None]
    if view.done is not None and view.done.cancelled:
        notes.append(ui.warn(f"Cancelled after {view.read} of {len(view.rows)}: the others keep their coarse order."))
    if view.mode == "posterior":
        text = "The score adds what the coarse cosine is worth (fitted on validation pools) to the model's log-odds of True."
        notes.append(tag("p", text, cls="as-caption"))
    unit = UNITS.get(view.mode, "")
    order = "by fine score" if view.done is not None else "in coarse order while the model reads"
    hint = f"{order}{f'; the score is the {unit}' if unit else ''}"
    return tag(
        "section",
        notes,
        ui.section("What the model says of each", hint),
        cards.cards(scene, view),
        cards.tie(scene, view),
        cls="as-step",
    )


def picked(view: View, item: int | None) -> Row | None:
    """The candidate a step is about: the one chosen, else the first of the order that was scored."""
    scored = [row for row in view.final if row.status == "scored"]
    return next((row for row in scored if row.entry.item == item), scored[0] if scored else None)


def chooser(scene: Scene, view: View, row: Row) -> Html:
    """The scored candidates as small pictures; a click chooses the one the step is about."""
    small = [
        tag(
            "button",
            scene.pic(other.entry.item),
            tag("em", other.place),
            cls="as-on" if other is row else None,
            data_on="pick",
            data_value=other.entry.item,
            aria_label=f"Candidate {other.place}: {scene.caption(other.entry.item)}",
        )
        for other in view.final
        if other.status == "scored"
    ]
    return tag("div", small, cls="as-chooser")


def ranks(scene: Scene, view: View) -> Html:
    """Step 4: from coarse rank to final place."""
    if not view.rows:
        return nothing("The pool is empty.")
    risen = sum(row.entry.rank > row.place for row in view.rows)
    hint = f"{risen} of {len(view.rows)} rise" if view.read else "the model read nothing, so nothing moves"
    return tag(
        "section",
        ui.section("From coarse rank to final place", hint),
        charts.slope(scene, view),
        cls="as-step as-wide-chart",
    )


def prompt(scene: Scene, view: View, item: int | None) -> Html:
    """Step 6: exactly what the model was asked, and what it would say next."""
    row = picked(view, item)
    if row is None or row.record is None:
        return nothing("No candidate has been scored, so there is no prompt to show.")
    record = row.record
    answer = tag("p", tag("b", "It wrote: "), record.text, cls="as-caption") if record.text else None
    said = f"{record.prompt_tokens:,} tokens" if record.prompt_tokens else ""
    likeliest = (
        charts.tokens(record.top_tokens)
        if record.top_tokens
        else tag("p", "This score mode does not look at the next token.", cls="as-caption")
    )
    left = tag(
        "div",
        ui.section("The exact prompt", said),
        tag("pre", record.prompt or "(not recorded)", cls="as-prompt", tabindex=0),
        tag(
            "p",
            "Special tokens are shown as the tokenizer writes them; runs of image tokens are shortened.",
            cls="as-caption",
        ),
        answer,
    )
    mass = f"label mass {record.label_mass:.1%}" if record.label_mass is not None else ""
    right = tag("div", ui.section("Its ten likeliest answers", mass), likeliest)
    return tag(
        "section",
        ui.section("Candidate", cut(scene.caption(row.entry.item), 80)),
        chooser(scene, view, row),
        tag("div", left, right, cls="as-halves"),
        cls="as-step",
    )


def pool_size(scene: Scene, view: View) -> Html:
    """Step 7: what every smaller pool would have given, for free."""
    points = sweep(view, scene.answer, scene.request.tie == "on")
    if not points:
        return nothing("Nothing was read, so there is nothing to compare pool sizes with.")
    spans: list[tuple[int, int, int]] = []
    for point in points:
        if spans and spans[-1][2] == point.first:
            spans[-1] = (spans[-1][0], point.k, point.first)
        else:
            spans.append((point.k, point.k, point.first))
    firsts = [
        tag(
            "figure",
            scene.pic(first),
            tag("figcaption", tag("b", _span(start, end)), scene.mark(first), scene.caption(first)),
        )
        for start, end, first in spans
    ]
    changes = len(spans) - 1
    head = ui.section(
        "Who is first",
        f"for every pool size up to {len(points)}; it changes {_times(changes)}. No new reading was needed",
    )
    known = scene.answer is not None and view.pool is not None
    body = None
    if known and view.pool is not None:
        rank = view.pool.answer_rank
        enters = f"the coarse stage lets it in from k = {rank:,}" if rank is not None else ""
        body = tag(
            "div", ui.section("Where the answer stands", enters), charts.sweep_chart(points, rank), cls="as-narrow"
        )
    else:
        body = tag(
            "p",
            "The place of the right answer is known when the query is a corpus item's own caption, or its picture read "
            "against captions. This one is free text or a free picture, so only the winner can be told.",
            cls="as-caption",
        )
    return tag("section", head, tag("div", firsts, cls="as-grid as-pool"), body, cls="as-step")


def _span(start: int, end: int) -> str:
    return f"k = {start}" if start == end else f"k = {start} to {end}"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def nothing(sentence: str) -> Html:
    """A step that has nothing to show, and why."""
    return tag("section", tag("p", sentence, cls="as-caption"), cls="as-step")


def results_table(scene: Scene, view: View) -> Html:
    """All candidates with their figures, for the export step."""
    rows = [
        (
            row.place,
            row.entry.id,
            row.entry.rank,
            f"{row.entry.score:.4f}",
            signed(row.score, view.mode) if row.score is not None else row.status,
        )
        for row in view.final
    ]
    columns: Sequence[str] = ("place", "id", "coarse rank", "cosine", f"fine score ({view.mode or 'none'})")
    head = tag("tr", [tag("th", name) for name in columns])
    body = [tag("tr", [tag("td", cell) for cell in row]) for row in rows]
    return tag("div", tag("table", tag("thead", head), tag("tbody", body)), cls="as-scroll as-export")
