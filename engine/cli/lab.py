"""``atomscope lab``: SAEs against each other, on real activations and where the answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli import comparing

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.command("compare")(comparing.compare)


@app.callback()
def lab() -> None:
    """SAEs against each other: on real activations, and where the answer is known."""


@app.command("synthetic")
def synthetic(
    sae: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME[:key=value,...]; repeat it. Without one, every architecture with its default settings."
        ),
    ] = None,
    d_model: Annotated[int, typer.Option(help="Dimensions of the world.")] = 64,
    features: Annotated[int, typer.Option(help="True features, more than dimensions.")] = 256,
    l0: Annotated[float, typer.Option(help="Mean true features active at a time.")] = 5.0,
    zipf: Annotated[
        float, typer.Option(help="Imbalance: rates fall as rank^-zipf; 0 makes all features equally frequent.")
    ] = 0.5,
    correlation: Annotated[
        float, typer.Option(help="Correlation inside a group of features; 0 makes all independent.")
    ] = 0.3,
    groups: Annotated[int, typer.Option(help="Groups of features that fire together.")] = 32,
    noise: Annotated[float, typer.Option(help="Length of the noise; an active feature has a mean length of 1.")] = 0.05,
    atoms: Annotated[int | None, typer.Option(help="Atoms of each SAE.", show_default="as many as features")] = None,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 2000,
    batch: Annotated[int, typer.Option(help="Tokens a step.")] = 1024,
    lr: Annotated[float, typer.Option(help="Peak learning rate, the same for all.")] = 2e-3,
    seeds: Annotated[int, typer.Option(min=1, help="Worlds, each with its own dictionary, data and starts.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write the JSON document here.")] = None,
) -> None:
    """Train SAEs on synthetic superposition, where dictionary and codes are known, at matched L0.

    All see the same tokens. Told for each, as the mean over the seeds and the range: the mean cosine of the true features
    with the atoms matched to them, the share of features recovered (cosine above 0.9), F1 of firing, FVU, L0 and dead atoms.
    """
    from engine.cli.console import TerminalProgress, err, next_step, print_json
    from engine.files import write_json
    from engine.lab.benchmark import BenchmarkConfig, WorldConfig, run
    from engine.sae import ARCHITECTURES

    world = WorldConfig(
        d_model=d_model, features=features, l0=l0, zipf=zipf, correlation=correlation, groups=groups, noise=noise
    )
    options = BenchmarkConfig(n_atoms=features if atoms is None else atoms, steps=steps, batch_tokens=batch, lr=lr)
    document = run(sae or list(ARCHITECTURES), world, options, range(seeds), TerminalProgress())
    if out is not None:
        write_json(out, document)
    if json:
        print_json(document)
    else:
        print_table(document)
    wanted = document["reference"]["mean"]["l0"]
    for name, figures in document["saes"].items():
        if abs(figures["mean"]["l0"] / wanted - 1) > 0.2:
            err.print(
                f"not matched: {name} has an L0 of {figures['mean']['l0']:.1f}, the truth {wanted:.1f}", markup=False
            )
    next_step("atomscope train --acts STORE --sae NAME -o RUN")


COLUMNS = {
    "cosine": ("mean cosine", "{:.3f}"),
    "recovered": ("recovered", "{:.1%}"),
    "f1": ("F1", "{:.3f}"),
    "fvu": ("FVU", "{:.4f}"),
    "l0": ("L0", "{:.2f}"),
    "dead": ("dead", "{:.1%}"),
}


def print_table(document: dict[str, Any]) -> None:
    """One row an SAE: mean over the seeds, and the range below it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from engine.cli.console import out

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", min_width=max(map(len, document["saes"])))
    for words, _ in COLUMNS.values():
        table.add_column(words, justify="right", min_width=max(len(words), len("0.000 -")))
    for name, figures in [("the truth", document["reference"]), *document["saes"].items()]:
        cells = []
        for key, (_, form) in COLUMNS.items():
            mean, low, high = (form.format(figures[kind][key]) for kind in ("mean", "low", "high"))
            cells.append(mean if low == high else f"{mean}\n{low} - {high}")
        table.add_row(name, *cells)
    # However narrow the screen, names and columns are never cut: long lines wrap there.
    out.print(table, width=max(out.width, 120), crop=False)
