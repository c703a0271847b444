"""How one atom is drawn: a function from an atlas and an atom to markup, so that tests read what people see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from app import atlas_ui, state, ui, urls
from app.ui import Bar, Figure, Html, tag
from engine.atlas import search, top_exemplars

if TYPE_CHECKING:
    from engine.atlas import Atlas

# Below this the top exemplars are nearly one picture (or text); near duplicates lie above a cosine of 0.9.
LOW_DIVERSITY = 0.1
FEW_ITEMS = 8
NEIGHBOURS = 6
LABELS = 8
RESULTS = 12


@dataclass(frozen=True)
class ViewOptions:
    """What the person chose under View: pictures shown, what the heat is scaled by, whether the peak is framed."""

    top: int = 16
    heat: str = "atom"
    outline: bool = True


def body(atlas: Atlas, atom: int, options: ViewOptions) -> Html:
    """Everything about one atom."""
    about = atlas.atoms.iloc[atom]
    if about["status"] == "dead":
        main = tag(
            "p", "This atom fires on no token of this corpus: it has no examples, no histogram and no neighbours."
        )
        return tag("article", _head(atlas, atom, about), tag("main", main), cls="as-atom-page")
    both = top_exemplars.exemplars(atlas, atom)
    top, weaker = (both[both["kind"] == kind] for kind in ("top", "quantile"))
    shown = top.head(options.top)
    # Half as many weak ones, spread evenly over the bands they were sampled from: the two columns end together.
    weaker = weaker.iloc[
        np.unique(np.linspace(0, len(weaker) - 1, min(options.top // 2, len(weaker))).round().astype(int))
    ]
    draw = (options.heat, options.outline)
    main = tag(
        "main",
        ui.section(
            atlas_ui.term("Fires most", "exemplar"),
            f"the {len(shown)} {'chunks' if atlas.is_text else 'items'} with the largest activation, largest first",
        ),
        _scale(atlas, options) if atlas.is_text else None,
        atlas_ui.exemplar_grid(atlas, atom, shown, *draw),
    )
    beside = tag(
        "section",
        ui.section(atlas_ui.term("Fires weaker", "quantile"), "lower quantiles"),
        atlas_ui.exemplar_grid(atlas, atom, weaker, *draw, size="s")
        if len(weaker)
        else tag("p", "It fires on too few items to sample weaker ones.", cls="as-caption"),
        cls="as-weaker",
    )
    return tag("article", _head(atlas, atom, about), main, beside, _aside(atlas, atom), cls="as-atom-page")


def _scale(atlas: Atlas, options: ViewOptions) -> Html | None:
    """What the marks of the tokens mean."""
    if options.heat == "off":
        return None
    full = "its largest anywhere" if options.heat == "atom" else "the largest in each text"
    return tag(
        "p", tag("span", "activation", tag("em", "0"), tag("i"), tag("em", full), cls="as-scale"), cls="as-caption"
    )


def _head(atlas: Atlas, atom: int, about: Any) -> Html:
    name = search.names(atlas)[atom]
    status = {"live": "good", "rare": "warn", "dense": "warn", "dead": "bad"}[about["status"]]
    chips = [ui.chip(about["status"], status, atlas_ui.definition(about["status"]))]
    cluster = int(about["cluster"])
    if cluster >= 0:
        label = str(atlas.clusters["label"].iloc[cluster]) or f"cluster {cluster}"
        chips.append(ui.chip(f"cluster: {label}", definition="Atoms near it on the map, named after what they share."))
    candidates = [c for c in about["label_candidates"] if c != name][:5]
    others = tag("span", "or: ", ", ".join(candidates), cls="as-note") if candidates else None
    title = tag(
        "div",
        tag("span", f"atom {atom}", cls="as-id"),
        tag("h2", name or "no label"),
        chips,
        others,
        cls="as-name-line",
    )
    return tag("header", title, ui.figures(_figures(atlas, about), small=True), _warnings(about))


def _figures(atlas: Atlas, about: Any) -> list[Figure]:
    meaning = lambda name: atlas_ui.definition(name, atlas)  # noqa: E731
    label = f"{about['top_label']}" if about["top_label"] else ""
    return [
        Figure("fires on", f"{int(about['firing_count']):,}", atlas_ui.definition("firing count"), "tokens"),
        Figure("frequency", ui.percent(float(about["frequency"])), meaning("frequency")),
        Figure("items", f"{int(about['item_count']):,}", meaning("item_count")),
        Figure("largest", ui.number(float(about["max_activation"])), meaning("max_activation")),
        Figure("mean", ui.number(float(about["mean_activation"])), meaning("mean_activation")),
        Figure("monosemanticity", ui.number(float(about["monosemanticity"])), meaning("monosemanticity")),
        Figure("label entropy", ui.number(float(about["label_entropy"])), meaning("label_entropy"), "bits"),
        Figure("top label", ui.percent(float(about["top_label_share"])), meaning("top_label_share"), label),
        Figure("diversity", ui.number(float(about["diversity"])), meaning("diversity")),
    ]


def _warnings(about: Any) -> list[Html]:
    notes = []
    if about["status"] == "dense":
        notes.append(ui.warn("Dense: it fires on more than a tenth of all tokens, so its best examples say little."))
    if about["status"] == "rare":
        notes.append(ui.warn("Rare: it fires on fewer than 1 token in 100,000. A name for it is a guess."))
    elif 0 < about["item_count"] < FEW_ITEMS:
        notes.append(ui.warn(f"It fires on {int(about['item_count'])} items only. A name for it is a guess."))
    if math.isfinite(about["diversity"]) and about["diversity"] < LOW_DIVERSITY:
        notes.append(
            ui.warn("Low diversity: the top examples are nearly the same, so they cannot tell concepts apart.")
        )
    return notes


def _aside(atlas: Atlas, atom: int) -> Html:
    near = atlas.neighbours(atom)
    decoder, together = (near[near["kind"] == kind].head(NEIGHBOURS) for kind in ("decoder", "coactivation"))
    spot = atlas_ui.map_marker(atlas, atom, decoder["other"].tolist())
    edges, counts = atlas.histogram(atom)
    labels = atlas.labels(atom).head(LABELS)
    blocks = [
        ui.section(atlas_ui.term("Activation", "activation"), "on the tokens where it fires", level=3),
        ui.histogram(
            edges,
            counts,
            alt=f"Histogram of the activations of atom {atom}",
            name=f"atom-{atom}-activation",
            x_label="activation",
            width=320,
        ),
    ]
    if len(labels):
        blocks += [
            ui.section("Labels", "share of its firing tokens", level=3),
            ui.bars(
                [Bar(row.label, row.share, ui.percent(row.share), row.label) for row in labels.itertuples()],
                alt="Labels of the items on which it fires",
                on="search",
                limit=1.0,
            ),
        ]
    if spot is not None:
        place = tag("a", spot, href=state.href("map", atom=atom), data_on="go") if state.has_page("map") else spot
        blocks += [ui.section("On the map", "blue: nearest decoders", level=3), place]
    downloads = [
        tag("a", text, href=urls.export(atlas, atom, file), download=True)
        for text, file in (
            ("sheet PNG", "exemplars.png"),
            ("exemplars CSV", "exemplars.csv"),
            ("provenance JSON", "provenance.json"),
        )
    ]
    blocks += [ui.section("Take away", level=3), tag("p", downloads, cls="as-takeaway")]
    right = tag("aside", blocks)
    below = tag(
        "footer",
        _neighbours(atlas, "Nearest by decoder", "decoder neighbours", "cosine", decoder),
        _neighbours(atlas, "Fires together with", "co-activation", "cosine", together),
    )
    return ui.join(right, below)


def _neighbours(atlas: Atlas, title: str, name: str, unit: str, rows: Any) -> Html | None:
    if rows.empty:
        return None
    cards = [atlas_ui.atom_card(atlas, int(r.other), f"{unit} {r.similarity:.2f}") for r in rows.itertuples()]
    return tag("div", ui.section(atlas_ui.term(title, name), level=3), atlas_ui.atom_cards(cards))


def results(atlas: Atlas, words: str, found: list[search.AtomMatch]) -> Html:
    """Atoms that match a search, as cards."""
    if not found:
        return tag(
            "p",
            f"No atom matches “{words}”. Search looks at labels and at the words of top exemplars.",
            cls="as-caption",
        )
    cards = []
    for hit in found[:RESULTS]:
        note = "by its label" if hit.reason == "label" else f"in the words of {hit.exemplars} examples"
        cards.append(atlas_ui.atom_card(atlas, hit.atom, note))
    more = f", the first {RESULTS} shown" if len(found) > RESULTS else ""
    return tag(
        "div",
        ui.section(f"“{words}”", f"{len(found)} atoms match{more}", level=3),
        atlas_ui.atom_cards(cards),
        cls="as-block",
    )


def prefetch(atlas: Atlas, atoms: list[int], options: ViewOptions) -> list[str]:
    """URLs of the first pictures of the atoms the person is likely to open next."""
    if atlas.is_text:
        return []
    items = top_exemplars.top_items(atlas)
    wanted = []
    for atom in atoms:
        for rank, item in enumerate(items[atom]):
            if item >= 0:
                wanted.append(urls.thumb(atlas, int(item)))
                if options.heat != "off":
                    wanted.append(urls.heat(atlas, atom, "top", rank, options.heat))
    return wanted
