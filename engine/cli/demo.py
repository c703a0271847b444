"""``atomscope demo``: fetch the embedded weights, rebuild the demo from its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.paths import DEMO_ATLAS, DEMO_CORPUS, DEMO_LANGUAGE_ATLAS

app = typer.Typer(no_args_is_help=True, add_completion=False)
build = typer.Typer(no_args_is_help=True, help="Rebuild a part of the demo from its sources.")
app.add_typer(build, name="build")


@app.callback()
def demo() -> None:
    """Fetch the weights of the embedded models, or rebuild the demo from its sources."""


@app.command("weights")
def weights(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Embedded models to fetch.", show_default="those of the demo"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Fetch every embedded model.")] = False,
) -> None:
    """Download the embedded weights, check them, and convert them once into the cache."""
    from engine.cli.console import TerminalProgress, err, next_step
    from engine.demo.weights import fetch_weights

    states = {True: "already in", False: "now in", None: "in"}
    for model in fetch_weights(names or (), everything, TerminalProgress()):
        err.print(
            f"{model.name}: {model.title}, {states[model.was_ready]} {model.folder}", markup=False, soft_wrap=True
        )
    next_step("atomscope serve")


@build.command("corpus")
def corpus(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the corpus.", show_default="the demo's own")
    ] = DEMO_CORPUS,
    contact_sheet: Annotated[
        Path | None,
        typer.Option(
            "--contact-sheet",
            help="Build nothing; draw random items of the corpus that is there into this picture file.",
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Number of items on the contact sheet.")] = 60,
    seed: Annotated[int, typer.Option("--seed", help="Random seed that chooses the items of the contact sheet.")] = 0,
    contains: Annotated[
        str, typer.Option("--contains", help="Contact sheet: only items with this text in their id or label.")
    ] = "",
) -> None:
    """Build the demo corpus from its source packages, or look at the one that is there."""
    from engine.cli.console import TerminalProgress, err, next_step

    if contact_sheet is not None:
        from engine.demo.contact_sheet import draw_contact_sheet

        drawn = draw_contact_sheet(out, contact_sheet, count, seed, contains)
        err.print(f"{drawn} items of {out} are on {contact_sheet}", soft_wrap=True, markup=False)
        return
    from engine.demo.build import build_corpus

    document = build_corpus(out, TerminalProgress())
    splits = ", ".join(f"{count:,} {split}" for split, count in document["splits"].items())
    err.print(f"{document['items']:,} items ({splits}) in {out}", soft_wrap=True, markup=False)
    next_step(f"atomscope demo build corpus -o {out} --contact-sheet corpus.png")


@build.command("atlas")
def atlas(
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            help="Folder of the atlas, which must lie beside the demo corpus.",
            show_default="the demo's own",
        ),
    ] = DEMO_ATLAS,
) -> None:
    """Build the demo atlas from the demo corpus: activations, four SAEs, atlas, held-out figures (half an hour on two cores).

    If the command was stopped, run it again: it goes on where it was.
    """
    from engine.cli.console import TerminalProgress, next_step
    from engine.demo.atlas import build_demo_atlas

    build_demo_atlas(out, TerminalProgress())
    next_step(f"atomscope evaluate {out}")


@build.command("smollm2")
def smollm2(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the atlas.", show_default="the demo's own")
    ] = DEMO_LANGUAGE_ATLAS,
) -> None:
    """Build the language atlas: WordNet glosses and the captions through SmolLM2-135M, an SAE, the atlas, held-out figures.

    This takes half an hour on two cores. If the command was stopped, run it again: it goes on where it was.
    """
    from engine.cli.console import TerminalProgress, next_step
    from engine.demo.language import build_language_atlas

    build_language_atlas(out, TerminalProgress())
    next_step(f"atomscope serve --atlas {DEMO_ATLAS} --atlas {out}")


@build.command("retrieval")
def retrieval(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to write to.", show_default="the demo's own")
    ] = None,
) -> None:
    """Train the text adapter of the demo's embedder and embed the demo corpus with it (some minutes on two cores)."""
    from engine.cli.console import TerminalProgress, err, next_step
    from engine.demo.retrieval import build_retrieval
    from engine.retrieval.coarse.embedders.demo import FOLDER

    document = build_retrieval(TerminalProgress(), out or FOLDER)
    for direction, recalls in document["recall"]["test"].items():
        figures = ", ".join(f"{name} {100 * value:.1f}" for name, value in recalls.items())
        err.print(f"{direction}, test split: {figures}", markup=False)
    next_step("atomscope search --text 'a red apple' --mllm none")


@build.command("mllm")
def mllm() -> None:
    """Train the demo's multimodal model on the demo corpus (hours on two cores, minutes on a GPU).

    If the command was stopped, run it again: it goes on where it was.
    """
    from engine.cli.console import TerminalProgress, next_step
    from engine.demo.mllm.build import build_demo_mllm

    build_demo_mllm(TerminalProgress())
    next_step("atomscope search --text 'a red apple'")
