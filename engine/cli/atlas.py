"""``atomscope atlas``: build the concept atlas of a trained SAE."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step
from engine.errors import InputError

app = typer.Typer(add_completion=False)


@app.command()
def atlas(
    sae: Annotated[Path, typer.Option(help="Run folder of the SAE, made by `atomscope train`.")],
    acts: Annotated[Path, typer.Option(help="Activation store, made by `atomscope extract`.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the atlas to write.")],
    baseline: Annotated[
        list[str] | None, typer.Option(help="NAME=RUN: a further SAE to ship for comparison. Repeatable.")
    ] = None,
    title: Annotated[str, typer.Option(help="A line for the eye.")] = "",
    top_n: Annotated[int, typer.Option(help="Top exemplars an atom keeps.")] = 24,
    sample: Annotated[int, typer.Option(help="Items whose codes the atlas holds in full.")] = 64,
    layout: Annotated[bool, typer.Option("--layout/--no-layout", help="Compute the map of atoms.")] = True,
    corpus_beside: Annotated[
        bool, typer.Option("--corpus-beside", help="Take pictures from the corpus, which ships beside the atlas.")
    ] = False,
    thumb_size: Annotated[int, typer.Option(help="Longest side of a thumbnail, pixels.")] = 224,
    seed: Annotated[int, typer.Option(help="Seed of the map.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Build the concept atlas of a trained SAE: one pass over the activations for all atoms together, then the map.

    Run the same command again after a stop and it goes on where it was.
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
        baselines=dict(_named(entry) for entry in baseline or ()),
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


def _named(entry: str) -> tuple[str, Path]:
    name, equals, path = entry.partition("=")
    if not equals or not name or not path:
        raise InputError(f"--baseline takes NAME=RUN, such as topk=cache/runs/demo/topk, not {entry!r}.")
    return name, Path(path)
