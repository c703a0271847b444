"""The figures of the Overview: measured on held-out data where that was done, else over the corpus, and each says which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import atlas_ui, ui
from app.atlas_ui.figures import MEANING, format_figure, number
from app.ui.html import Html, tag
from engine.atlas.format.measured import baselines, held_out

if TYPE_CHECKING:
    from engine.atlas import Atlas

ROWS = (
    ("explained_variance", "explained variance"),
    ("fvu", "FVU"),
    ("l0_mean", "active atoms per token"),
    ("dead_share", "dead atoms"),
    ("dense_share", "dense atoms"),
    ("label_entropy", "label entropy"),
    ("monosemanticity", "monosemanticity"),
)


def headline(atlas: Atlas) -> Html:
    """The five numbers that matter."""
    split, measured = held_out(atlas)
    whole = _over_corpus(atlas)
    shown = []
    for name in ("explained_variance", "l0_mean", "dead_share", "label_entropy", "monosemanticity"):
        value, where = number(measured.get(name)), split
        if value is None:
            value, where = whole.get(name), "whole corpus"
        words = dict(ROWS)[name]
        note = where if value is not None else "not measured: atomscope evaluate --write"
        shown.append(ui.Figure(words, format_figure(name, value), MEANING[name], note))
    return ui.figures(shown)


def comparison(atlas: Atlas) -> Html | None:
    """This SAE and those trained on the same data, side by side; None when the atlas holds no other's figures."""
    split, measured = held_out(atlas)
    others = baselines(measured)
    if not others:
        return None
    rows = [(str(atlas.meta["sae"].get("architecture", "this SAE")), measured), *others.items()]
    names = [(name, words) for name, words in ROWS if any(number(figures.get(name)) is not None for _, figures in rows)]
    head = tag(
        "tr",
        tag("th", "SAE"),
        [
            tag("th", atlas_ui.term(words, name) if not MEANING.get(name) else _term(words, name))
            for name, words in names
        ],
    )
    body = [
        tag(
            "tr",
            tag("td", title),
            [tag("td", format_figure(name, number(figures.get(name)))) for name, _ in names],
            cls="as-this" if i == 0 else None,
        )
        for i, (title, figures) in enumerate(rows)
    ]
    table = tag("table", tag("thead", head), tag("tbody", body), cls="as-compare")
    hint = f"trained on the same activations, measured on the {split} split"
    return tag("div", ui.section("Against other SAEs", hint, tag("div", table, cls="as-scroll")), cls="as-block")


def _term(words: str, name: str) -> Html:
    return tag("span", words, cls="as-term", data_tip=MEANING[name], tabindex=0)


def _over_corpus(atlas: Atlas) -> dict[str, float | None]:
    table, counts = atlas.atoms, atlas.meta["counts"]
    return {
        "l0_mean": number(table["firing_count"].sum() / max(counts["tokens"], 1)),
        "dead_share": counts["dead"] / max(counts["atoms"], 1),
        "label_entropy": number(table["label_entropy"].mean()),
        "monosemanticity": number(table["monosemanticity"].mean()),
    }
