"""``atomscope prepare``: do before a live session what would otherwise be done while people wait."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli.console import TerminalProgress, next_step, out, print_json
from engine.cli.options import Captions, Device, EmbedderName, Json, SearchedPath
from engine.paths import DEMO_CORPUS

app = typer.Typer(add_completion=False)


@app.command()
def prepare(
    corpus: SearchedPath = DEMO_CORPUS,
    mllm: Annotated[
        str, typer.Option(help="Multimodal model that reads the pictures: demo, a hub id or a folder.")
    ] = "demo",
    embedder: EmbedderName = "demo",
    split: Annotated[str, typer.Option(help="Split to prepare.", show_default="all items")] = "",
    captions: Captions = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Embed a collection and run the model's vision tower over its pictures, once, before anybody searches.

    A search then reads only words. What was read is kept in the cache, for this model and its preprocessing. If the command
    was stopped, run it again: it goes on where it was. To have the space back, delete the cache's folder retrieval/pictures.

    Example: atomscope prepare --corpus photos/
    """
    from dataclasses import asdict

    from engine.retrieval.fine.preparation import prepare_corpus
    from engine.retrieval.search.opening import SearchedCorpus

    searched = SearchedCorpus(path=corpus, captions=captions, embedder=embedder, split=split)
    done, collection = prepare_corpus(searched, mllm, device, TerminalProgress())
    if json:
        print_json({"corpus": collection.describe(), "mllm": mllm} | asdict(done))
    else:
        failed = f", {done.failed:,} cannot be read" if done.failed else ""
        out.print(
            f"{done.read:,} pictures read ({done.bytes / 1e6:,.0f} MB), {done.kept:,} were ready{failed}", markup=False
        )
    next_step("atomscope serve" + ("" if corpus == DEMO_CORPUS else f" --corpus {corpus}"))
