"""``atomscope lab``: SAEs against each other, on real activations and where the answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import comparing
from engine.cli.options import Json, finite

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command("compare")(comparing.compare)


@app.callback()
def lab() -> None:
    """Compare SAEs with each other: on real activations, or on synthetic ones whose true features are known."""


@app.command("synthetic")
def synthetic(
    sae: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME[:key=value,...], such as topk:k=5. May be given several times.",
            show_default="every architecture with its default settings",
        ),
    ] = None,
    d_model: Annotated[int, typer.Option(help="Number of dimensions of the synthetic activations.")] = 64,
    features: Annotated[int, typer.Option(help="Number of true features; more than dimensions.")] = 256,
    l0: Annotated[float, typer.Option(help="Mean number of true features active per token.", callback=finite)] = 5.0,
    zipf: Annotated[
        float,
        typer.Option(
            help="How unequal the features are: the r-th most frequent fires at a rate proportional to r^-zipf; 0 makes all "
            "equally frequent.",
            callback=finite,
        ),
    ] = 0.5,
    correlation: Annotated[
        float,
        typer.Option(
            help="Correlation of the features inside a group; 0 makes all features independent.", callback=finite
        ),
    ] = 0.3,
    groups: Annotated[int, typer.Option(help="Number of groups of features that fire together.")] = 32,
    noise: Annotated[
        float,
        typer.Option(
            help="Length of the noise in each activation; an active feature has a mean length of 1.", callback=finite
        ),
    ] = 0.05,
    atoms: Annotated[
        int | None, typer.Option(help="Number of atoms of each SAE.", show_default="as many as features")
    ] = None,
    steps: Annotated[int, typer.Option(help="Number of training steps.")] = 2000,
    batch: Annotated[int, typer.Option(help="Number of tokens per step.")] = 1024,
    lr: Annotated[float, typer.Option(help="Peak learning rate, the same for all SAEs.", callback=finite)] = 2e-3,
    seeds: Annotated[
        int, typer.Option(min=1, help="Number of worlds, each with its own features, data and initial weights.")
    ] = 3,
    json: Json = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to which the JSON document is also written.")
    ] = None,
) -> None:
    """Train SAEs on synthetic superposition, where the true features and codes are known, at matched L0.

    All SAEs see the same tokens. The table has the mean over the seeds and the range of: the mean cosine of the true
    features with the atoms matched to them, the share of features recovered (cosine above 0.9), F1 of firing, FVU, L0, and
    the share of dead atoms.
    """
    from engine.cli.console import TerminalProgress, err, next_step, print_json, print_table
    from engine.files import write_json
    from engine.lab.benchmark import BenchmarkConfig, WorldConfig, run, unmatched
    from engine.lab.tables import synthetic_table
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
        print_table(synthetic_table(document))
    wanted = document["reference"]["mean"]["l0"]
    for name, reached in unmatched(document).items():
        err.print(f"not matched: {name} has an L0 of {reached:.1f}, the truth {wanted:.1f}", markup=False)
    next_step("atomscope train --acts STORE --sae NAME -o RUN")
