"""The documents of this room as tables for people."""

from __future__ import annotations

from typing import Any

from engine.evaluation.figures import FigureSpec, figure_value
from engine.table import Table

COMPARED = (
    FigureSpec(("l0_mean",), "L0", "{:.1f}"),
    FigureSpec(("fvu",), "FVU (centred)", "{:.4f}"),
    FigureSpec(("dead_share",), "dead atoms", "{:.1%}"),
    FigureSpec(("dense_share",), "dense atoms", "{:.1%}"),
    FigureSpec(("label_entropy",), "label entropy, bits", "{:.3f}"),
    FigureSpec(("monosemanticity",), "monosemanticity", "{:.4f}"),
    FigureSpec(("fidelity", "spliced", "accuracy"), "accuracy, spliced", "{:.1%}"),
    FigureSpec(("fidelity", "recovered", "accuracy"), "recovered", "{:.1%}"),
    *(
        FigureSpec(("topn", side, level), f"top-n, {side}-{level}", "{:.1%}")
        for side in ("on", "off")
        for level in ("1", "5", "10", "50")
    ),
    FigureSpec(("stability", "shared"), "atoms found by another seed", "{:.1%}"),
    FigureSpec(("stability", "cosine"), "mean cosine with them", "{:.3f}"),
)

SYNTHETIC = (
    FigureSpec(("cosine",), "mean cosine", "{:.3f}"),
    FigureSpec(("recovered",), "recovered", "{:.1%}"),
    FigureSpec(("f1",), "F1", "{:.3f}"),
    FigureSpec(("fvu",), "FVU", "{:.4f}"),
    FigureSpec(("l0",), "L0", "{:.2f}"),
    FigureSpec(("dead",), "dead", "{:.1%}"),
)


def comparison_table(document: dict[str, Any]) -> Table:
    """A sweep's comparison: one row per figure, one column per SAE; mean over the seeds and half the range."""
    saes = document["saes"].values()
    rows = []
    for figure in COMPARED:
        cells = [_mean_and_half_range(figure_value(sae["figures"], figure.path), figure.form) for sae in saes]
        if any(cell != "-" for cell in cells):
            rows.append((figure.title, *cells))
    rows.append(("training, seconds", *(_mean_and_half_range(sae["seconds"], "{:.0f}") for sae in saes)))
    return Table(("", *document["saes"]), tuple(rows))


def _mean_and_half_range(figure: dict[str, float] | None, form: str) -> str:
    if figure is None:
        return "-"
    half = (figure["high"] - figure["low"]) / 2
    return form.format(figure["mean"]) + (f" ±{form.format(half).rstrip('%')}" if half > 0 else "")


def synthetic_table(document: dict[str, Any]) -> Table:
    """A synthetic benchmark: one row per SAE, the truth first; mean over the seeds, and the range below it."""
    rows = []
    for name, figures in [("the truth", document["reference"]), *document["saes"].items()]:
        cells = []
        for figure in SYNTHETIC:
            mean, low, high = (figure.form.format(figures[kind][figure.path[0]]) for kind in ("mean", "low", "high"))
            cells.append(mean if low == high else f"{mean}\n{low} - {high}")
        rows.append((name, *cells))
    return Table(("", *(figure.title for figure in SYNTHETIC)), tuple(rows))
