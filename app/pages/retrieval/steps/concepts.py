"""The concepts query picture and candidates share, as a table of atoms by pictures with the heat where each fires."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app import atlas_ui, state, ui, urls
from app.atlas_ui.heat import heat_png
from app.pages.retrieval.outcome import Outcome
from app.pages.retrieval.step_context import StepContext
from app.ui import Html, cut, tag
from engine.atlas import search
from engine.inspection.shared_atoms import COMPARED, EncodedCandidate, SharedAtom, shared_atoms

if TYPE_CHECKING:
    from engine.atlas import Atlas


def concepts(atlas: Atlas, context: StepContext, outcome: Outcome, pictures: Sequence[EncodedCandidate]) -> Html:
    """The table, or why there is none."""
    query = next((one for one in pictures if one.who == "query"), None)
    candidates = [one for one in pictures if one.who != "query"]
    seen = [one.encoded for one in candidates if one.encoded is not None]
    found = shared_atoms(atlas, query.encoded if query is not None else None, seen)
    hint = (
        "atoms that fire both in the query's picture and in a candidate's"
        if query is not None
        else f"the query has no picture: atoms that fire in several of the first {len(candidates)} candidates"
    )
    head = ui.section(atlas_ui.term("Shared concepts", "shared concepts"), hint)
    problems = [ui.warn(f"{_who(context, one)}: {one.problem}") for one in pictures if one.problem]
    if not found:
        none = tag("p", f"They share no atom of {atlas.title} that says anything.", cls="as-caption")
        return tag("section", head, none, problems, _sources(atlas, pictures), cls="as-step")
    return tag(
        "section",
        head,
        _matrix(atlas, context, outcome, pictures, found),
        problems,
        _sources(atlas, pictures),
        cls="as-step",
    )


def _who(context: StepContext, one: EncodedCandidate) -> str:
    return "The query's picture" if one.who == "query" else cut(context.caption(one.who), 50)


def _matrix(
    atlas: Atlas,
    context: StepContext,
    outcome: Outcome,
    pictures: Sequence[EncodedCandidate],
    found: Sequence[SharedAtom],
) -> Html:
    shown = [one for one in pictures if one.encoded is not None]
    heads = [tag("th", "concept", scope="col")]
    for one in shown:
        if one.who == "query":
            heads.append(tag("th", tag("b", "query"), scope="col"))
        else:
            name = context.caption(one.who)
            heads.append(tag("th", tag("b", outcome.place_of(one.who)), " ", cut(name, 26), scope="col", data_tip=name))
    names = search.names(atlas)
    rows = []
    for atom in found:
        peaks = [one.encoded.of(atom.atom) for one in shown if one.encoded is not None]
        top = max(peak for peak, _ in peaks)
        cells = [_cell(context, one, peak, heat, top) for one, (peak, heat) in zip(shown, peaks, strict=True)]
        name = names[atom.atom] or "no label"
        items = int(atlas.atoms["item_count"].iloc[atom.atom])
        link = tag(
            "a",
            tag("b", cut(name, 30)),
            tag("span", f"atom {atom.atom}", cls="as-id"),
            tag("em", f"fires on {items:,} of {atlas.n_items:,} items"),
            href=state.href("concepts", atom=atom.atom),
            data_on="go",
        )
        rows.append(tag("tr", tag("th", link, scope="row"), cells))
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), cls="as-matrix")
    return tag("div", table, cls="as-matrix-frame")


def _cell(
    context: StepContext, one: EncodedCandidate, peak: float, heat: NDArray[np.float32] | None, top: float
) -> Html:
    """One picture of the table, with the heat where the atom fires; pale when it does not."""
    if one.who == "query":
        under = tag("img", src=context.picture, alt="Picture of the query")
    else:
        under = tag("img", src=urls.corpus_thumb(context.content, one.who), alt=cut(context.caption(one.who), 60))
    if heat is None:
        return tag("td", tag("span", under, cls="as-pic as-faded"), tag("em", "–"))
    png = base64.b64encode(heat_png(heat, top)).decode()
    over = tag("img", src=f"data:image/png;base64,{png}", alt="", cls="as-over")
    return tag("td", tag("span", under, over, cls="as-pic"), tag("em", ui.number(peak)))


def _sources(atlas: Atlas, pictures: Sequence[EncodedCandidate]) -> Html:
    held = sum(one.encoded is not None and one.encoded.source == "atlas" for one in pictures)
    live = sum(one.encoded is not None and one.encoded.source == "live" for one in pictures)
    model = str(atlas.meta["backbone"].get("name", ""))
    parts = []
    if live:
        parts.append(
            f"{live} of {held + live} pictures are not among the {len(atlas.sampled_items)} whose codes the atlas holds: they "
            f"were encoded now by {model} and the atlas's SAE."
        )
    if held:
        parts.append(f"{held} come from the codes the atlas holds.")
    parts.append(
        "Concepts are ordered by how strongly both pictures show them (the smaller share of the atom's largest activation "
        f"anywhere) times how rare they are among the atlas's items. Compared: the first {COMPARED} of the final order. The "
        "number below a picture is the atom's peak there; full colour is the largest peak of the row. These are concepts of "
        f"{atlas.title}, not of the model that read the candidates."
    )
    return tag("p", " ".join(parts), cls="as-caption as-below")
