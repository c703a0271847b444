"""``atomscope benchmark-retrieval``: recall of coarse, fine, and fine + enhancement, with intervals, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step, out, print_json, print_table
from engine.cli.options import Device, EmbedderName, Json, MllmName, RerankerName, one_of, several_of, sizes
from engine.errors import InputError
from engine.paths import DEMO_CORPUS

app = typer.Typer(add_completion=False)


@app.command()
def benchmark_retrieval(
    corpus: Annotated[
        Path,
        typer.Option(
            help="Any corpus with captions; a COCO, Karpathy or SugarCrepe JSON file; a Flickr30k CSV file.",
            show_default="the demo corpus",
        ),
    ] = DEMO_CORPUS,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the pictures that a JSON or CSV file names.", show_default="images/ beside it, or beside it"
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Split that is searched, with all its items; all takes the whole corpus.",
            show_default="test where there is one, else all",
        ),
    ] = "",
    queries: Annotated[
        int | None,
        typer.Option(help="Number of queries per direction, spread evenly over the split.", min=1, show_default="all"),
    ] = None,
    top_k: Annotated[str, typer.Option(help="Pool sizes, separated by commas.")] = "5,10",
    modes: Annotated[
        str,
        typer.Option(
            help="Fine scores, separated by commas: log-odds, posterior, true-false, generated, expected, likelihood, "
            "listwise; or all.",
            show_default="the model's own",
        ),
    ] = "",
    mllm: MllmName = "demo",
    reranker: RerankerName = "",
    embedder: EmbedderName = "demo",
    directions: Annotated[
        str, typer.Option(help="Directions, separated by commas: text-image, image-text; or both.")
    ] = "text-image,image-text",
    enhancement: Annotated[
        bool,
        typer.Option(
            "--enhancement/--no-enhancement", help="Whether to measure the first mode with visual enhancement, too."
        ),
    ] = False,
    preset: Annotated[str, typer.Option(help="Preset of the enhancement: paper or published-code.")] = "paper",
    timed: Annotated[
        int, typer.Option(help="Number of whole searches per direction whose time is measured.", min=0)
    ] = 8,
    device: Device = "auto",
    json: Json = False,
    save: Annotated[Path | None, typer.Option(help="File to which the JSON document is also written.")] = None,
) -> None:
    """Measure how often the right answer comes first, in the coarse order and after the model has read the pool.

    Every query is searched in the whole split. Every figure has a 95% bootstrap interval over the queries. An answer with the
    same caption as the right one counts as right. What the model said is kept in the cache: if the command was stopped, run
    it again, and it goes on where it was.

    Example: atomscope benchmark-retrieval --modes all --save figures.json
    """
    from engine.retrieval.evaluation import BenchmarkFiles, BenchmarkOptions, benchmark_files
    from engine.retrieval.evaluation.coarse import DIRECTIONS
    from engine.retrieval.evaluation.report import INTERVALS, report
    from engine.retrieval.search.events import MODES
    from engine.retrieval.search.query import PRESETS, Enhancement

    asked = several_of("direction", directions, DIRECTIONS, everything="both")
    if not asked:
        raise InputError(f"--directions names none; choose of {', '.join(DIRECTIONS)}.")
    options = BenchmarkOptions(
        top_k=sizes("--top-k", top_k),
        modes=several_of("score mode", modes, MODES),
        directions=asked,
        queries=queries,
        enhancement=Enhancement(preset=one_of("enhancement preset", preset, PRESETS)) if enhancement else None,
        timed=timed,
    )
    files = BenchmarkFiles(
        corpus=corpus,
        images=images,
        split="" if split == "all" else split or None,
        embedder=embedder,
        mllm=mllm,
        reranker=reranker,
    )
    found = benchmark_files(files, options, device, TerminalProgress())
    if save is not None:
        from engine.files import write_json

        write_json(save, found)
    if json:
        print_json(found)
    else:
        for part in report(found):
            if isinstance(part, str):
                out.print(part, markup=False, soft_wrap=True)
            else:
                print_table(part)
        if "directions" in found:
            err.print(INTERVALS, markup=False)
    next_step("atomscope search --text 'a red apple'")
