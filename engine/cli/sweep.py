"""``atomscope sweep``: train many sparse autoencoders from one config file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step, print_table
from engine.cli.options import Tensorboard

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(add_completion=False)


@app.command()
def sweep(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="File that says what to train, as described above.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be trained.")] = False,
    tensorboard: Tensorboard = False,
) -> None:
    r"""Train every SAE of a TOML file: one pass over the activations for each seed, all SAEs on the same batches.

    The file names store, out and seeds. It has a table \[training] with the settings of the training, a table \[defaults]
    with settings of all SAEs, and one table \[\[sae]] for each SAE with its architecture and settings. A list of values is a
    grid; k = "guide:RUN" takes half, equal and double the mean L0 of a finished run.

    If the command was stopped, run it again: finished passes are left alone, an unfinished one goes on.
    """
    from engine.training.hyperparameter_sweep import TABLE, plan, run_sweep
    from engine.training.hyperparameter_sweep_config import read_sweep

    plans = read_sweep(config)
    if dry_run:
        _show(plan(plans))
        return
    if tensorboard:
        err.print(f"curves:  tensorboard --logdir {plans.out}", markup=False, soft_wrap=True)
    table = run_sweep(plans, TerminalProgress(), tensorboard)
    _show(table.drop(columns=["settings", "loss", "folder"]))
    err.print(f"\nwritten: {plans.out / TABLE}", markup=False, soft_wrap=True)
    next_step(f"atomscope atlas --sae {plans.out / table['folder'].iloc[0]} --acts {plans.store} -o ATLAS")


def _show(frame: pd.DataFrame) -> None:
    from engine.table import Table

    rows = tuple(
        tuple(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row)
        for row in frame.itertuples(index=False)
    )
    words = [place for place, kind in enumerate(frame.dtypes) if kind == "object"]
    print_table(Table(tuple(map(str, frame.columns)), rows), words)
