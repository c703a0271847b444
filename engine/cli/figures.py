"""The table of ``atomscope evaluate``: a row a figure, a column an SAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.cli.console import out

# Path of the figure in an SAE's dictionary -> (words, format).
FIGURES: dict[tuple[str, ...], tuple[str, str]] = {
    ("fvu",): ("FVU (centred)", "{:.4f}"),
    ("explained_variance",): ("explained variance", "{:.4f}"),
    ("explained_variance_uncentred",): ("explained variance, uncentred", "{:.4f}"),
    ("l0_mean",): ("L0, mean", "{:.1f}"),
    ("l0_quantiles",): ("L0, quantiles", ""),
    ("dead",): ("dead atoms", "{:,}"),
    ("dead_share",): ("  share of all", "{:.1%}"),
    ("dense",): ("dense atoms", "{:,}"),
    ("dense_share",): ("  share of all", "{:.1%}"),
    ("label_entropy",): ("label entropy, bits", "{:.3f}"),
    ("label_entropy_atoms",): ("  over atoms", "{:,}"),
    ("monosemanticity",): ("monosemanticity", "{:.4f}"),
    ("monosemanticity_atoms",): ("  over atoms", "{:,}"),
    ("ledger_gap",): ("ledger gap", "{:.0e}"),
    ("stability", "cosine"): ("stability, mean cosine", "{:.4f}"),
    ("stability", "shared"): ("  share above 0.7", "{:.1%}"),
    **{
        ("fidelity", variant, key): (f"{words}, {variant}" if variant == "original" else f"  {variant}", form)
        for key, words, form in (
            ("accuracy", "accuracy", "{:.1%}"),
            ("top5", "top-5 accuracy", "{:.1%}"),
            ("cross_entropy", "cross-entropy, nats", "{:.3f}"),
        )
        for variant in ("original", "spliced", "mean", "zero")
    },
    ("fidelity", "recovered", "accuracy"): ("recovered accuracy", "{:.1%}"),
    ("fidelity", "recovered", "cross_entropy"): ("recovered cross-entropy", "{:.1%}"),
    **{
        ("topn", side, level): (f"top-n accuracy, {side}-{level}" if level == "1" else f"  {side}-{level}", "{:.1%}")
        for side in ("on", "off")
        for level in ("1", "5", "10", "50", "all")
    },
    ("items",): ("items", "{:,}"),
    ("tokens",): ("tokens", "{:,}"),
}


def print_table(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """The figures of all SAEs side by side, on stdout; figures that no SAE has are left out."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in figures:
        table.add_column(name, justify="right")
    for path, (words, form) in FIGURES.items():
        # Of a language model's fidelity there is no accuracy: such rows are left out, not dashed.
        there = found if path[0] == "fidelity" else lambda measured, path: path[0] in measured or None
        if any(there(measured, path) is not None for measured in figures.values()):
            table.add_row(words, *(written(found(measured, path), form) for measured in figures.values()))
    out.print(table)


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
