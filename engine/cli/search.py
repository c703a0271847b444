"""``atomscope search``: a coarse pool, then a model that reads it; every step on the screen or in one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.console import TerminalProgress, err, next_step, print_json, print_table
from engine.cli.options import (
    Captions,
    Device,
    EmbedderName,
    Json,
    MllmName,
    RerankerName,
    SearchedPath,
    one_of,
)
from engine.paths import DEMO_CORPUS
from engine.table import Table

if TYPE_CHECKING:
    from engine.retrieval.coarse.collection import Collection
    from engine.retrieval.search.events import Done, Event, PoolReady

app = typer.Typer(add_completion=False)


@app.command()
def search(
    corpus: SearchedPath = DEMO_CORPUS,
    text: Annotated[str, typer.Option(help="What to look for, in words.")] = "",
    image: Annotated[
        Path | None, typer.Option(help="Picture file to look for. Given with --text, both are searched for together.")
    ] = None,
    mllm: MllmName = "demo",
    embedder: EmbedderName = "demo",
    reranker: RerankerName = "",
    top_k: Annotated[int, typer.Option(help="Size of the pool: how many of the nearest items the model reads.")] = 5,
    mode: Annotated[
        str,
        typer.Option(
            help="Fine score: log-odds, posterior, true-false, generated, expected, likelihood or listwise.",
            show_default="the model's own",
        ),
    ] = "",
    enhancement: Annotated[
        str, typer.Option(help="Preset of visual enhancement: paper or published-code.", show_default="off")
    ] = "",
    split: Annotated[str, typer.Option(help="Split to search.", show_default="all items")] = "",
    index: Annotated[
        str, typer.Option(help="Index of the coarse stage: exact, or lance for a collection that outgrows memory.")
    ] = "exact",
    captions: Captions = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Search a collection with words, a picture, or both.

    The embedder finds the nearest items. The multimodal model then reads each of them together with the query, and its answer
    decides their order.

    Example: atomscope search --text "a red apple"
    """
    from engine.corpus import decode_image
    from engine.retrieval.search.events import MODES
    from engine.retrieval.search.query import PRESETS, Enhancement, Query, SearchOptions

    query = Query(text, decode_image(image) if image is not None else None)
    preset = one_of("enhancement preset", enhancement, PRESETS) if enhancement else None
    options = SearchOptions(
        top_k=top_k,
        mode=one_of("score mode", mode, MODES) if mode else "",
        enhancement=Enhancement(preset=preset) if preset is not None else None,
        split=split,
    )

    from engine.retrieval.coarse.collection import BACKENDS
    from engine.retrieval.search.document import search_document
    from engine.retrieval.search.opening import SearchedCorpus, open_retriever

    searched = SearchedCorpus(
        path=corpus, captions=captions, embedder=embedder, split=split, index=one_of("index", index, BACKENDS)
    )
    retriever = open_retriever(searched, mllm, reranker, device, TerminalProgress())
    events = retriever.search(query, options)
    if json:
        print_json(search_document(query, events, retriever.collection))
    else:
        for event in events:
            describe_event(event, retriever.collection)
        next_step("atomscope serve")


def describe_event(event: Event, collection: Collection) -> None:
    """One event as a person reads it: the steps on stderr, the order on stdout."""
    from engine.retrieval.search import events as e

    match event:
        case e.Started(models=models):
            mllm = models["mllm"]
            reader = mllm["name"] if mllm else "none"
            corpus = models["corpus"]
            embedder = models["embedder"].get("title") or models["embedder"]["name"]
            err.print(f"{corpus['name']}: {corpus['items']:,} items; coarse: {embedder}; fine: {reader}", markup=False)
            for model in (models["embedder"], mllm or {}):
                if model.get("note"):
                    err.print(f"note: {model['note']}", markup=False, soft_wrap=True)
        case e.PoolReady():
            _say_pool(event)
        case e.CandidateScored(record=record):
            enhanced = f"  enhanced after layer {record.fired_layer}" if record.fired_layer is not None else ""
            mass = f"  label mass {record.label_mass:.2f}" if record.label_mass is not None else ""
            score = "no number" if record.score is None else f"{record.score:+.3f}"
            line = f"  read {record.entry.id}  {score}{mass}  {record.milliseconds:,.0f} ms{enhanced}"
            err.print(line, markup=False, soft_wrap=True)
        case e.CandidateFailed(record=record):
            err.print(f"  failed {record.entry.id}: {record.error}", markup=False, soft_wrap=True)
        case e.FineSkipped(reason=reason) | e.StoppedEarly(reason=reason):
            err.print(f"  {reason}", markup=False, soft_wrap=True)
        case e.TieResolved(tied=tied, winner=winner):
            name = collection.id(winner)
            err.print(f"  {len(tied)} candidates share the best score; the lowest entropy has {name}", markup=False)
        case e.Done():
            _say_order(event, collection)


def _say_pool(event: PoolReady) -> None:
    err.print(f"pool: {len(event.entries)} of {event.gallery:,} items in {event.seconds:.2f} s", markup=False)
    rows = tuple((f"  {entry.rank}", f"{entry.score:.3f}", entry.id) for entry in event.entries)
    print_table(Table((), rows), words=(2,), console=err)


def _say_order(done: Done, collection: Collection) -> None:
    scores = {record.entry.item: record.score for record in done.records}
    captions = collection.corpus.items["caption"]
    rows = []
    for rank, item in enumerate(done.order, 1):
        score = scores.get(item)
        rows.append(
            (str(rank), f"{score:+.3f}" if score is not None else "--", collection.id(item), str(captions.iat[item]))
        )
    print_table(Table((), tuple(rows)), words=(2, 3))
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in done.seconds.items())
    err.print(seconds + (", cancelled" if done.cancelled else ""), markup=False)
