"""The figures of an evaluation as a table: one row per figure, one column per SAE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.table import Table


@dataclass(frozen=True)
class Figure:
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
    Figure(("fvu",), "FVU (centred)", "{:.4f}"),
    Figure(("explained_variance",), "explained variance", "{:.4f}"),
    Figure(("explained_variance_uncentred",), "explained variance, uncentred", "{:.4f}"),
    Figure(("l0_mean",), "L0, mean", "{:.1f}"),
    Figure(("l0_quantiles",), "L0, quantiles", ""),
    Figure(("dead",), "dead atoms", "{:,}"),
    Figure(("dead_share",), "  share of all", "{:.1%}"),
    Figure(("dense",), "dense atoms", "{:,}"),
    Figure(("dense_share",), "  share of all", "{:.1%}"),
    Figure(("label_entropy",), "label entropy, bits", "{:.3f}"),
    Figure(("label_entropy_atoms",), "  over atoms", "{:,}"),
    Figure(("monosemanticity",), "monosemanticity", "{:.4f}"),
    Figure(("monosemanticity_atoms",), "  over atoms", "{:,}"),
    Figure(("ledger_gap",), "ledger gap", "{:.0e}"),
    Figure(("stability", "cosine"), "stability, mean cosine", "{:.4f}"),
    Figure(("stability", "shared"), "  share above 0.7", "{:.1%}"),
    *(
        Figure(("fidelity", variant, key), f"{title}, {variant}" if variant == "original" else f"  {variant}", form)
        for key, title, form in FIDELITY
        for variant in ("original", "spliced", "mean", "zero")
    ),
    Figure(("fidelity", "recovered", "accuracy"), "recovered accuracy", "{:.1%}"),
    Figure(("fidelity", "recovered", "cross_entropy"), "recovered cross-entropy", "{:.1%}"),
    *(
        Figure(
            ("topn", side, level), f"top-n accuracy, {side}-{level}" if level == "1" else f"  {side}-{level}", "{:.1%}"
        )
        for side in ("on", "off")
        for level in ("1", "5", "10", "50", "all")
    ),
    Figure(("items",), "items", "{:,}"),
    Figure(("tokens",), "tokens", "{:,}"),
)


def figure_table(saes: Mapping[str, Mapping[str, Any]]) -> Table:
    """The figures of all SAEs side by side; a figure that no SAE has is left out."""
    rows = []
    for figure in FIGURES:
        if any(_was_measured(figure, measured) for measured in saes.values()):
            cells = (written(found(measured, figure.path), figure.form) for measured in saes.values())
            rows.append((figure.title, *cells))
    return Table(("", *saes), tuple(rows))


def _was_measured(figure: Figure, measured: Mapping[str, Any]) -> bool:
    """Whether it has a row. One that came to nothing (no labels, say) has, as a dash; a language model's accuracy has none."""
    if figure.path[0] == "fidelity":
        return found(measured, figure.path) is not None
    return figure.path[0] in measured


def found(measured: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The figure at ``path``, None where there is none."""
    value: Any = measured
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def written(value: Any, form: str) -> str:
    """One figure as the table shows it."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        return "  ".join(f"{float(quantile):.0%} {size}" for quantile, size in value.items())
    return form.format(value)
