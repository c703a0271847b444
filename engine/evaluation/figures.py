"""The figures of an evaluation as a table: one row per figure, one column per SAE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.table import Table


@dataclass(frozen=True)
class FigureSpec:
    """One figure of an SAE: where it stands in the SAE's dictionary, its name for people, and how it is written."""

    path: tuple[str, ...]
    title: str
    form: str


FIDELITY = (
    ("accuracy", "accuracy", "{:.1%}"),
    ("top5", "top-5 accuracy", "{:.1%}"),
    ("cross_entropy", "cross-entropy, nats", "{:.3f}"),
)

FIGURES = (
    FigureSpec(("fvu",), "FVU (centred)", "{:.4f}"),
    FigureSpec(("explained_variance",), "explained variance", "{:.4f}"),
    FigureSpec(("explained_variance_uncentred",), "explained variance, uncentred", "{:.4f}"),
    FigureSpec(("l0_mean",), "L0, mean", "{:.1f}"),
    FigureSpec(("l0_quantiles",), "L0, quantiles", ""),
    FigureSpec(("dead",), "dead atoms", "{:,}"),
    FigureSpec(("dead_share",), "  share of all", "{:.1%}"),
    FigureSpec(("dense",), "dense atoms", "{:,}"),
    FigureSpec(("dense_share",), "  share of all", "{:.1%}"),
    FigureSpec(("label_entropy",), "label entropy, bits", "{:.3f}"),
    FigureSpec(("label_entropy_atoms",), "  over atoms", "{:,}"),
    FigureSpec(("monosemanticity",), "monosemanticity", "{:.4f}"),
    FigureSpec(("monosemanticity_atoms",), "  over atoms", "{:,}"),
    FigureSpec(("ledger_gap",), "ledger gap", "{:.0e}"),
    FigureSpec(("stability", "cosine"), "stability, mean cosine", "{:.4f}"),
    FigureSpec(("stability", "shared"), "  share above 0.7", "{:.1%}"),
    *(
        FigureSpec(("fidelity", variant, key), f"{title}, {variant}" if variant == "original" else f"  {variant}", form)
        for key, title, form in FIDELITY
        for variant in ("original", "spliced", "mean", "zero")
    ),
    FigureSpec(("fidelity", "recovered", "accuracy"), "recovered accuracy", "{:.1%}"),
    FigureSpec(("fidelity", "recovered", "cross_entropy"), "recovered cross-entropy", "{:.1%}"),
    *(
        FigureSpec(
            ("topn", side, level), f"top-n accuracy, {side}-{level}" if level == "1" else f"  {side}-{level}", "{:.1%}"
        )
        for side in ("on", "off")
        for level in ("1", "5", "10", "50", "all")
    ),
    FigureSpec(("items",), "items", "{:,}"),
    FigureSpec(("tokens",), "tokens", "{:,}"),
)


def figure_table(saes: Mapping[str, Mapping[str, Any]]) -> Table:
    """The figures of all SAEs side by side; a figure that no SAE has is left out."""
    rows = []
    for figure in FIGURES:
        if any(_was_measured(figure, measured) for measured in saes.values()):
            cells = (format_figure(figure_value(measured, figure.path), figure.form) for measured in saes.values())
            rows.append((figure.title, *cells))
    return Table(("", *saes), tuple(rows))


def _was_measured(figure: FigureSpec, measured: Mapping[str, Any]) -> bool:
    """Whether it has a row. One that came to nothing (no labels, say) has, as a dash; a language model's accuracy has none."""
    if figure.path[0] == "fidelity":
        return figure_value(measured, figure.path) is not None
    return figure.path[0] in measured


def figure_value(measured: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The figure at ``path``, None where there is none."""
    value: Any = measured
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def format_figure(value: Any, form: str) -> str:
    """One figure as the table shows it."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        return "  ".join(f"{float(quantile):.0%} {size}" for quantile, size in value.items())
    return form.format(value)
