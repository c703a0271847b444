"""``atomscope atlas``: build the concept atlas of a trained SAE."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step
from engine.cli.options import Acts, Device, named_paths

app = typer.Typer(add_completion=False)


@app.command()
def atlas(
    sae: Annotated[Path, typer.Option(help="Run folder of the SAE, made by `atomscope train`.")],
    acts: Acts,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write the atlas to.")],
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=RUN: another SAE to ship in the atlas, for the Compare page. May be given several times."
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Title shown in the dashboard.")] = "",
    top_n: Annotated[int, typer.Option(help="Number of top exemplars kept for each atom.")] = 24,
    sample: Annotated[
        int, typer.Option(help="Number of items of which the atlas keeps every code, for the Counts page.")
    ] = 64,
    layout: Annotated[bool, typer.Option("--layout/--no-layout", help="Whether to compute the map of atoms.")] = True,
    corpus_beside: Annotated[
        bool,
        typer.Option(
            "--corpus-beside",
            help="Store no thumbnails: take the pictures from the corpus, which must lie beside the atlas.",
        ),
    ] = False,
    thumb_size: Annotated[int, typer.Option(help="Longest side of a thumbnail in pixels.")] = 224,
    seed: Annotated[int, typer.Option(help="Random seed of the map of atoms.")] = 0,
    device: Device = "auto",
) -> None:
    """Build the concept atlas of a trained SAE: one pass over the activations for all atoms together, then the map.

    If the command was stopped, run it again: it goes on where it was.
    """
    from engine.activations import ActivationStore
    from engine.atlas import Atlas, AtlasOptions, build_atlas

    options = AtlasOptions(
        title=title,
        top_n=top_n,
        sample_items=sample,
        layout=layout,
        corpus_beside=corpus_beside,
        thumb_size=thumb_size,
        baselines=named_paths("--baseline", baseline or ()),
        seed=seed,
        device=device,
    )
    build_atlas(sae, ActivationStore.open(acts), out, options, TerminalProgress())
    counts = Atlas.open(out).meta["counts"]
    err.print(
        f"{out}: {counts['atoms']:,} atoms ({counts['dead']:,} dead, {counts['dense']:,} dense) over {counts['items']:,} items.",
        markup=False,
        soft_wrap=True,
    )
    next_step(f"atomscope serve --atlas {out}")
