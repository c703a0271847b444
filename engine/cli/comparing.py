"""``atomscope lab compare``: one table of all SAEs of a sweep, over their seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.console import TerminalProgress, err, next_step, out, print_json
from engine.cli.figures import found

# Path of a figure -> (words, format); the rows of the table.
ROWS: dict[tuple[str, ...], tuple[str, str]] = {
    ("l0_mean",): ("L0", "{:.1f}"),
    ("fvu",): ("FVU (centred)", "{:.4f}"),
    ("dead_share",): ("dead atoms", "{:.1%}"),
    ("dense_share",): ("dense atoms", "{:.1%}"),
    ("label_entropy",): ("label entropy, bits", "{:.3f}"),
    ("monosemanticity",): ("monosemanticity", "{:.4f}"),
    ("fidelity", "spliced", "accuracy"): ("accuracy, spliced", "{:.1%}"),
    ("fidelity", "recovered", "accuracy"): ("recovered", "{:.1%}"),
    **{
        ("topn", side, level): (f"top-n, {side}-{level}", "{:.1%}")
        for side in ("on", "off")
        for level in ("1", "5", "10", "50")
    },
    ("stability", "shared"): ("atoms found by another seed", "{:.1%}"),
    ("stability", "cosine"): ("mean cosine with them", "{:.3f}"),
}


def compare(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="Folder that `atomscope sweep` wrote.")],
    acts: Annotated[Path, typer.Option(help="Activation store to measure on.")],
    split: Annotated[str, typer.Option(help="Split to measure on.")] = "test",
    fidelity: Annotated[bool, typer.Option(help="Classify with the reconstruction in place.")] = True,
    topn: Annotated[bool, typer.Option(help="Classify with the top n atoms of a class, and without them.")] = True,
    items: Annotated[
        int,
        typer.Option(
            help="Classify at most so many items, evenly spread, and rank atoms on four times as many; 0: all."
        ),
    ] = 0,
    threshold: Annotated[float, typer.Option(help="Top-n: a token counts for an atom above this activation.")] = 0.2,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    save: Annotated[Path | None, typer.Option("-o", "--out", help="Also write the JSON document here.")] = None,
) -> None:
    """Measure every SAE of a sweep on the same held-out items; mean and range over the seeds.

    Figures are kept beside each SAE: run the same command again after a stop and it goes on.
    """
    from engine.device import pick_device
    from engine.evaluation.classifying import Classification
    from engine.evaluation.held_out import named_store
    from engine.files import write_json
    from engine.lab.comparison import compare as run
    from engine.metrics import evaluate

    progress, where = TerminalProgress(), pick_device(device)
    store, rows = named_store(acts, split)
    about = {
        "activations": store.hash,
        "split": split,
        "fidelity": fidelity or topn,
        "topn": topn,
        "threshold": threshold,
        "items": items,
    }
    prepared: list[Classification] = []  # the classifier takes a minute: only if there is something to measure

    def measure(sae: Any) -> dict[str, Any]:
        sae = sae.to(where)
        figures = evaluate(sae, store, rows, progress)
        if fidelity or topn:
            if not prepared:
                prepared.append(Classification.prepare(store, rows, None, device, progress, items))
            figures |= prepared[0].measure(sae, topn, threshold, progress)
        return figures

    document = run(sweep, measure, about, progress=progress)
    if save is not None:
        write_json(save, document)
    if json:
        print_json(document)
    else:
        print_comparison(document)
    next_step(f"atomscope atlas --sae {sweep}/seed-{document['seeds'][0]}/NAME --acts {acts} -o ATLAS")


def print_comparison(document: dict[str, Any]) -> None:
    """A row a figure, a column an SAE, however wide: mean over the seeds and half the range."""
    rows = [["", *document["saes"]]]
    for path, (words, form) in ROWS.items():
        cells = [_cell(found(entry["figures"], path), form) for entry in document["saes"].values()]
        if any(cell != "-" for cell in cells):
            rows.append([words, *cells])
    rows.append(["training, seconds", *(_cell(entry["seconds"], "{:.0f}") for entry in document["saes"].values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        line = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        out.print(f"{name.ljust(widths[0])}  {line}".rstrip(), markup=False, soft_wrap=True)
    seeds = len(document["seeds"])
    err.print(f"mean over {seeds} {'seed' if seeds == 1 else 'seeds'} ± half the range", markup=False)


def _cell(figure: dict[str, float] | None, form: str) -> str:
    if figure is None:
        return "-"
    half = (figure["high"] - figure["low"]) / 2
    return form.format(figure["mean"]) + (f" ±{form.format(half).rstrip('%')}" if half > 0 else "")
