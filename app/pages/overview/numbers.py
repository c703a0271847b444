"""The figures of the Overview: measured on held-out data where that was done, else over the corpus, and each says which."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from app import atlas_ui, ui
from app.ui.html import Html, tag

if TYPE_CHECKING:
    from engine.atlas import Atlas

MEANING = {
    "explained_variance": "Share of the variance of the activations that the reconstruction explains, after the mean is taken "
    "off: 1 - FVU. 100% is perfect.",
    "l0_mean": "L0: atoms with a code other than zero, mean over tokens. Fewer is easier to read, more reconstructs better.",
    "dead_share": "Atoms that never fire. They cost memory and mean nothing.",
    "label_entropy": "Entropy of the class labels of an atom's top exemplars, weighted by activation; mean over atoms. "
    "0 bits: one class each.",
    "monosemanticity": "How alike the items are that an atom fires on: activation-weighted mean pairwise cosine of their "
    "embeddings, mean over atoms.",
    "fvu": "Fraction of variance unexplained: squared error over the variance of the activations, both summed over tokens. "
    "0 is perfect.",
    "dense_share": "Atoms that fire on more than a tenth of all tokens.",
}

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
        value, where = _number(measured.get(name)), split
        if value is None:
            value, where = whole.get(name), "whole corpus"
        words = dict(ROWS)[name]
        note = where if value is not None else "not measured: atomscope evaluate --write"
        shown.append(ui.Figure(words, written(name, value), MEANING[name], note))
    return ui.figures(shown)


def comparison(atlas: Atlas) -> Html | None:
    """This SAE and those trained on the same data, side by side; None when the atlas holds no other's figures."""
    split, measured = held_out(atlas)
    others = baselines(measured)
    if not others:
        return None
    rows = [(str(atlas.meta["sae"].get("architecture", "this SAE")), measured), *others.items()]
    names = [
        (name, words) for name, words in ROWS if any(_number(figures.get(name)) is not None for _, figures in rows)
    ]
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
            [tag("td", written(name, _number(figures.get(name)))) for name, _ in names],
            cls="as-this" if i == 0 else None,
        )
        for i, (title, figures) in enumerate(rows)
    ]
    table = tag("table", tag("thead", head), tag("tbody", body), cls="as-compare")
    hint = f"trained on the same activations, measured on the {split} split"
    return tag("div", ui.section("Against other SAEs", hint, tag("div", table, cls="as-scroll")), cls="as-block")


def held_out(atlas: Atlas) -> tuple[str, dict[str, Any]]:
    """Name and figures of the split that was measured: test, else validation, else whatever there is."""
    measured = atlas.meta.get("measured") or {}
    for split in ("test", "validation", *measured):
        if isinstance(measured.get(split), dict):
            return split, measured[split]
    return "", {}


def baselines(measured: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Figures of the other SAEs inside a split's figures."""
    others = measured.get("baselines")
    return {str(k): v for k, v in others.items() if isinstance(v, dict)} if isinstance(others, dict) else {}


def written(name: str, value: float | None) -> str:
    """A figure with its unit."""
    if value is None:
        return "–"
    if name == "explained_variance":
        return f"{value:.1%}"
    if name in ("dead_share", "dense_share"):
        return ui.percent(value)
    if name == "label_entropy":
        return f"{value:.2f} bits"
    return f"{value:.1f}" if name == "l0_mean" else ui.number(value)


def _term(words: str, name: str) -> Html:
    return tag("span", words, cls="as-term", data_tip=MEANING[name], tabindex=0)


def _over_corpus(atlas: Atlas) -> dict[str, float | None]:
    table, counts = atlas.atoms, atlas.meta["counts"]
    return {
        "l0_mean": _number(table["firing_count"].sum() / max(counts["tokens"], 1)),
        "dead_share": counts["dead"] / max(counts["atoms"], 1),
        "label_entropy": _number(table["label_entropy"].mean()),
        "monosemanticity": _number(table["monosemanticity"].mean()),
    }


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
