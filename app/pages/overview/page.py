"""Overview: which model, layer, corpus and SAE; how good the dictionary is; a few clear concepts; where to go from here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from app import atlas_ui, state, ui, urls
from app.atlas_ui.exports import view_provenance
from app.components.atom_map import MapView, atom_map, map_event
from app.components.atom_map.ids import encode_ids
from app.pages.overview import figures, highlights, numbers
from app.ui.html import Html, tag
from engine.atlas import ordering, search
from engine.errors import InputError

if TYPE_CHECKING:
    from engine.atlas import Atlas

CONCEPTS = 8
PICTURES = 4
TEXTS = 3
SCATTER = "overview_atoms"
_OPEN = "overview_open"


def page() -> None:
    """Draw the page."""
    atlas = state.atlas()
    with st.container():
        atlas_ui.page_title(atlas.title, _lede(atlas))
        ui.onboarding(
            "overview",
            "What this is",
            (
                f"{_reads(atlas)} into a long list of numbers. A sparse autoencoder learned to write each list as a sum of a "
                "few **atoms**, directions that often mean one thing.",
                "Below: how well that works, and atoms that came out clearly. Underlined words explain themselves when you "
                "point at them.",
            ),
        )
    ui.live(tag("div", numbers.headline(atlas), cls="as-block"), key="overview_numbers")
    ui.live(_concepts(atlas), key="overview_concepts")
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        _scatter(atlas)
    with right:
        ui.live(_support(atlas), key="overview_support")
        ui.live(_reading(atlas), key="overview_reading")
        _downloads(atlas)
    if atlas.training is not None and len(atlas.training) > 1:
        hint = "over the tokens seen; dots are held-out tokens"
        ui.live(ui.section("Training", hint, figures.training_curves(atlas.training)), key="overview_training")
    comparison = numbers.comparison(atlas)
    if comparison is not None:
        ui.live(comparison, key="overview_comparison")
    if href := st.session_state.pop(_OPEN, None):
        ui.open_page(href, key="overview_go")


def _reads(atlas: Atlas) -> str:
    if atlas.is_text:
        return "A language model turns every token of a text"
    return "A vision model turns every patch of a picture"


def _lede(atlas: Atlas) -> str:
    backbone, counts, sae = atlas.meta["backbone"], atlas.meta["counts"], atlas.meta["sae"]
    name = str(backbone.get("name", "")).rsplit("/", 1)[-1]
    site = {"residual": "residual stream", "mlp": "MLP output", "attention": "attention output"}.get(
        str(backbone.get("site")), str(backbone.get("site"))
    )
    return (
        f"{name}, {site} after {atlas_ui.block_of(backbone)}, on {counts['items']:,} {'chunks' if atlas.is_text else 'items'} of "
        f"{atlas.meta['corpus'].get('name', 'the corpus')}, written with {counts['atoms']:,} atoms by a "
        f"{sae.get('architecture', 'sparse')} autoencoder."
    )


def _concepts(atlas: Atlas) -> Html:
    cards = [_concept(atlas, int(atom)) for atom in highlights.striking(atlas, CONCEPTS)]
    if not cards:
        return ui.section("Concepts", "no atom of this atlas fires on enough items to judge it")
    return tag(
        "div",
        ui.section(
            "Clear concepts",
            "among the atoms whose exemplars are most alike, one a topic; "
            + ("marked: where each fires" if atlas.is_text else "the glow shows where each fires"),
        ),
        tag("div", cards, cls="as-concepts"),
        cls="as-block",
    )


def _concept(atlas: Atlas, atom: int) -> Html:
    row = atlas.atoms.iloc[atom]
    best = atlas.exemplars(atom, "top").head(PICTURES)
    if atlas.is_text:
        shown = tag(
            "span", [_quote(atlas, atom, example) for example in best.head(TEXTS).itertuples()], cls="as-quotes"
        )
    else:
        pictures = [
            atlas_ui.picture_of(atlas, int(item), atlas.items.loc[int(item)], urls.heat(atlas, atom, "top", rank))
            for rank, item in enumerate(best["item"])
        ]
        shown = tag("span", pictures, cls="as-four")
    name = search.names(atlas)[atom] or f"atom {atom}"
    note = f"{int(row['item_count']):,} {'chunks' if atlas.is_text else 'items'} · monosemanticity {row['monosemanticity']:.2f}"
    words = tag("span", tag("b", name), tag("em", note), cls="as-words")
    return tag(
        "a",
        shown,
        words,
        cls="as-concept",
        data_on="go",
        href=state.href("concepts", atom=atom),
    )


def _quote(atlas: Atlas, atom: int, example: Any) -> Html:
    values = dict(zip(map(int, example.heat_positions), map(float, example.heat_values), strict=True))
    largest = float(atlas.atoms["max_activation"].iloc[atom])
    return atlas_ui.snippet(atlas, int(example.item), int(example.position), values, largest, reach=48)


def _scatter(atlas: Atlas) -> None:
    hint = "how often it fires against how strongly; click one to open it"
    colour = "label_entropy" if np.isfinite(atlas.atoms["label_entropy"].to_numpy(float)).any() else "monosemanticity"
    ui.live(ui.section("Every atom that fires", hint), key="overview_scatter_title")
    view = MapView(x="frequency", y="mean_activation", color=colour)
    alt = f"Scatter of atoms: how often each fires against its mean activation, coloured by {colour.replace('_', ' ')}"
    atom_map(atlas, view, key=SCATTER, height=430, alt=alt, on_event=_clicked)
    meaning = atlas_ui.term("label entropy" if colour == "label_entropy" else "monosemanticity", colour, atlas)
    ui.live(
        tag(
            "p",
            "Atoms at the far right fire almost everywhere and rarely mean one thing; at the far left there are too few "
            "examples to be sure. Colour: ",
            meaning,
            f", low means one class of {'texts' if atlas.is_text else 'pictures'}."
            if colour == "label_entropy"
            else ".",
            cls="as-caption",
        ),
        key="overview_scatter_note",
    )


def _clicked() -> None:
    event = map_event(SCATTER)
    if event.clicked is not None:
        st.session_state[_OPEN] = state.href("concepts", atom=event.clicked)
    elif event.selected and state.has_page("map"):
        try:
            st.session_state[_OPEN] = state.href("map", sel=encode_ids(np.asarray(event.selected)))
        except InputError as error:
            state.notice(str(error))


def _support(atlas: Atlas) -> Html:
    patches = atlas.support[:, atlas.prefix :] if atlas.n_positions > atlas.prefix else atlas.support
    hint = "sparsemax chooses" if atlas.meta["sae"].get("architecture") == "sparsemax" else ""
    return tag(
        "div",
        ui.section(f"Atoms a {atlas_ui.unit(atlas)} needs", hint, figures.support_histogram(patches)),
        cls="as-block",
    )


def _reading(atlas: Atlas) -> Html:
    lines = [
        ("Concepts", "concepts", "one atom at a time: its best examples, its weaker ones, its neighbours."),
        ("Dictionary map", "map", "all atoms at once; lasso some and see what they share."),
        ("Activation counts", "counts", f"how many atoms each {atlas_ui.unit(atlas)} needs, and which."),
    ]
    links = [
        tag("li", tag("a", tag("b", title), href=state.href(path), data_on="go"), ": ", words)
        for title, path, words in lines
        if state.has_page(path)
    ]
    trust = tag(
        "p",
        "An atom is a candidate for a concept, not a proof. Look at its weaker firings and counter-examples before you name it; "
        f"labels come from {'the words around the tokens' if atlas.is_text else 'captions'} and are suggestions.",
    )
    return tag("div", ui.section("Where to go", "", tag("ul", links, cls="as-links"), trust), cls="as-block")


def _downloads(atlas: Atlas) -> None:
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Provenance JSON",
            partial(view_provenance, atlas, {"page": "overview"}, highlights.striking(atlas, CONCEPTS)),
            f"atlas-{atlas.key}.json",
            "application/json",
            key="overview_provenance",
            icon=":material/fingerprint:",
            on_click="ignore",
        )
        st.button(
            "Random atom",
            key="overview_random",
            icon=":material/casino:",
            on_click=lambda: st.session_state.update({_OPEN: state.href("concepts", atom=_random(atlas))}),
        )
    st.caption(f"Atlas {atlas.key}, made {str(atlas.meta.get('created', ''))[:10]}.")


def _random(atlas: Atlas) -> int:
    live = ordering.order(atlas, "id", ("live",)).atoms
    return int(np.random.default_rng().choice(live)) if len(live) else 0
