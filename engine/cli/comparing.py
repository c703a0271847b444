"""``atomscope lab compare``: one table of all SAEs of a sweep, over their seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step, print_json, print_table
from engine.cli.options import Acts, Device, Json, Threshold


def compare(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="Folder written by `atomscope sweep`.")],
    acts: Acts,
    split: Annotated[str, typer.Option(help="Split of the store to measure on.")] = "test",
    fidelity: Annotated[
        bool,
        typer.Option(
            help="Whether to classify pictures with the SAE's reconstruction in place of the activations; --topn includes it."
        ),
    ] = True,
    topn: Annotated[
        bool,
        typer.Option(help="Whether to classify with only the top n atoms of each class, and with all others."),
    ] = True,
    items: Annotated[
        int,
        typer.Option(
            min=0,
            help="Largest number of items to classify, spread evenly over the split; atoms are ranked on four times as many. "
            "0 takes all.",
        ),
    ] = 0,
    threshold: Threshold = 0.2,
    device: Device = "auto",
    json: Json = False,
    save: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to which the JSON document is also written.")
    ] = None,
) -> None:
    """Measure every SAE of a sweep on the same held-out items: mean and range over the seeds.

    The figures are kept beside each SAE. If the command was stopped, run it again: it goes on where it was.
    """
    from engine.files import write_json
    from engine.lab.held_out import ComparisonOptions, compare_held_out
    from engine.lab.tables import comparison_table

    options = ComparisonOptions(
        split=split, fidelity=fidelity, topn=topn, threshold=threshold, device=device, items=items
    )
    document = compare_held_out(sweep, acts, options, TerminalProgress())
    if save is not None:
        write_json(save, document)
    if json:
        print_json(document)
    else:
        print_table(comparison_table(document))
        seeds = len(document["seeds"])
        err.print(f"mean over {seeds} {'seed' if seeds == 1 else 'seeds'} ± half the range", markup=False)
    next_step(f"atomscope atlas --sae {sweep}/seed-{document['seeds'][0]}/NAME --acts {acts} -o ATLAS")
