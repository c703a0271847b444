"""The body of each step of the Retrieval page: pure functions from a search to markup."""

from __future__ import annotations

from collections.abc import Sequence

from app import state, ui
from app.corpora import thumb_url
from app.pages import retrieval_cards as cards
from app.pages import retrieval_charts as charts
from app.pages.retrieval_scene import UNITS, Scene, cut, signed
from app.retrieval.request import STEPS
from app.retrieval.view import Row, View, sweep
from app.ui import Html, tag
from engine.retrieval.events import FineRecord
from engine.retrieval.query import Enhancement


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
    parts.append(tag("span", "read by ", tag("b", title), f": {said}" if said else ""))
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


def enhance(scene: Scene, view: View, item: int | None) -> Html:
    """Step 3: every candidate read without and with visual enhancement, and the entropy that decided."""
    row = picked(view, item)
    if row is None:
        return _nothing("No candidate has been scored, so there is nothing to enhance.")
    on = scene.request.enhance != "off"
    both = [r for r in view.final if r.status == "scored" and r.plain is not None]
    plain = row.plain if row.plain is not None else (None if on else row.record)
    enhanced = row.record if on else None
    left = _off_on(scene, both, view.mode) if both else _off(on)
    fired = [r for r in both if r.record is not None and r.record.fired_layer is not None]
    told = f"it fired for {len(fired)} of {len(both)} candidates" if both else "switched off in this search"
    right = tag(
        "div",
        ui.section("Entropy after each layer", cut(scene.caption(row.entry.item), 46)),
        chooser(scene, view, row),
        charts.layers(plain, enhanced, *_acts(scene, enhanced)),
        tag(
            "p",
            "After each decoder layer the logit lens asks which word would come next; the entropy of its ten best words, "
            "divided by ln 10, is 1 when it has no idea. Above the dashed line, inside the shaded layers, visual tokens are "
            "injected again.",
            cls="as-caption",
        ),
    )
    head = ui.section(ui.term("Visual enhancement", "visual enhancement"), told)
    return tag("section", tag("div", tag("div", head, left), right, cls="as-halves"), cls="as-step")


def _acts(scene: Scene, record: FineRecord | None) -> tuple[float | None, int, int]:
    """Entropy above which the chosen preset acts, and the first and last layer after which it may."""
    if record is None or not record.layer_entropy:
        return None, 0, 0
    from engine.retrieval.enhancement.settings import resolve  # torch comes with it, and is there once a model has read

    chosen = resolve(Enhancement(preset=scene.request.enhance), len(record.layer_entropy))  # type: ignore[arg-type]
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


def _off_on(scene: Scene, rows: list[Row], mode: str) -> Html:
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
                    "td", tag("span", scene.pic(row.entry.item), cls="as-tiny"), cut(scene.caption(row.entry.item), 34)
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


def _plain(row: Row) -> float:
    return float(row.plain.score or 0.0) if row.plain is not None else float(row.score or 0.0)


def ranks(scene: Scene, view: View) -> Html:
    """Step 4: from coarse rank to final place."""
    if not view.rows:
        return _nothing("The pool is empty.")
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
        return _nothing("No candidate has been scored, so there is no prompt to show.")
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
        return _nothing("Nothing was read, so there is nothing to compare pool sizes with.")
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


def _nothing(sentence: str) -> Html:
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


def concept_href(atom: int) -> str:
    """Where an atom is explained."""
    return state.href("concepts", atom=atom)


def query_picture(content: str, item: int | None, uri: str) -> str:
    """Address of the query's picture: an upload's own data, or the corpus's thumbnail."""
    return uri or (thumb_url(content, item) if item is not None else "")
