"""``atomscope prepare``: do before a live session what would otherwise be done while people wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, next_step, out, print_json
from engine.paths import DEMO_CORPUS

app = typer.Typer(add_completion=False)


@app.command()
def prepare(
    corpus: Annotated[
        Path, typer.Option(help="Folder of images, Parquet shards, data set folder or text file.")
    ] = DEMO_CORPUS,
    mllm: Annotated[str, typer.Option(help="Model that reads the pool: demo, hub id or folder.")] = "demo",
    embedder: Annotated[
        str, typer.Option(help="Model of the coarse stage: demo, or a CLIP, SigLIP or sentence-transformers model.")
    ] = "demo",
    split: Annotated[str, typer.Option(help="Prepare only items of this split.")] = "",
    captions: Annotated[Path | None, typer.Option(help="CSV, JSONL or Parquet file with captions.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Embed a collection and run the model's vision tower over its pictures, once, before anybody searches.

    A search then reads only words. What was read is kept in the cache, for this model and its preprocessing: run the same
    command after a stop and it goes on; delete the cache's folder retrieval/pictures to have the space back.

    Example: atomscope prepare --corpus photos/
    """
    from dataclasses import asdict

    from engine.corpus import open_corpus
    from engine.retrieval.coarse.collection import open_collection
    from engine.retrieval.coarse.embedders import load_embedder
    from engine.retrieval.fine.mllm_scorer import FineScorer
    from engine.retrieval.fine.model import load_mllm
    from engine.retrieval.fine.preparation import prepare as run

    progress = TerminalProgress()
    opened = open_corpus(corpus, captions)
    collection = open_collection(opened, load_embedder(embedder, device, progress), progress)
    rows = collection.rows(split)
    for warning in collection.warnings:
        progress.warn(warning)
    scorer = FineScorer(load_mllm(mllm, device, progress), progress=progress)
    done = run(collection, scorer, rows, progress)
    if json:
        print_json({"corpus": collection.describe(), "mllm": mllm} | asdict(done))
    else:
        failed = f", {done.failed:,} cannot be read" if done.failed else ""
        out.print(
            f"{done.read:,} pictures read ({done.bytes / 1e6:,.0f} MB), {done.kept:,} were ready{failed}", markup=False
        )
    next_step("atomscope serve" + ("" if corpus == DEMO_CORPUS else f" --corpus {corpus}"))
