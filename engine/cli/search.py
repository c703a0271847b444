"""``atomscope search``: a coarse pool, then a model that reads it; every step on the screen or in one JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.console import TerminalProgress, err, next_step, out, print_json
from engine.errors import InputError
from engine.paths import DEMO_CORPUS

if TYPE_CHECKING:
    from engine.progress import Progress
    from engine.retrieval.fine.scorer import Scorer
    from engine.retrieval.search.events import Event, PoolReady
    from engine.retrieval.search.query import Enhancement, Query
    from engine.retrieval.search.retriever import Retriever

app = typer.Typer(add_completion=False)

NO_MODEL = "none"
PRESETS = ("paper", "published-code")


@app.command()
def search(
    corpus: Annotated[
        Path, typer.Option(help="Folder of images, Parquet shards, data set folder or text file.")
    ] = DEMO_CORPUS,
    text: Annotated[str, typer.Option(help="What you look for, in words.")] = "",
    image: Annotated[Path | None, typer.Option(help="A picture to look for; with --text, both count.")] = None,
    mllm: Annotated[
        str, typer.Option(help="Model that reads the pool: demo, hub id, folder; none for the coarse stage only.")
    ] = "demo",
    embedder: Annotated[
        str, typer.Option(help="Model of the coarse stage: demo, or a CLIP, SigLIP or sentence-transformers model.")
    ] = "demo",
    reranker: Annotated[
        str, typer.Option(help="A trained reranker (CrossEncoder) in the model's place: hub id or folder.")
    ] = "",
    top_k: Annotated[int, typer.Option(help="Size of the coarse pool.")] = 5,
    mode: Annotated[
        str,
        typer.Option(help="Fine score: log-odds, posterior, true-false, generated, expected, likelihood, listwise."),
    ] = "",
    enhancement: Annotated[str, typer.Option(help="Visual enhancement: paper or published-code.")] = "",
    split: Annotated[str, typer.Option(help="Search only items of this split.")] = "",
    index: Annotated[str, typer.Option(help="exact, or lance for collections that outgrow memory.")] = "exact",
    captions: Annotated[Path | None, typer.Option(help="CSV, JSONL or Parquet file with captions.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Search a collection with words, a picture, or both.

    The embedder finds the nearest items; the multimodal model then reads each of them with the query, and its answer
    orders them.

    Example: atomscope search --text "a red apple"
    """
    from engine.retrieval.search.query import Query, SearchOptions

    query = Query(text, read_image(image) if image is not None else None)
    options = SearchOptions(top_k=top_k, mode=mode, enhancement=chosen_enhancement(enhancement), split=split)  # type: ignore[arg-type]
    if index not in ("exact", "lance"):
        raise InputError(f"There is no index {index!r}; choose exact or lance.")

    from engine.corpus import open_corpus
    from engine.retrieval.coarse.collection import open_collection
    from engine.retrieval.coarse.embedders import load_embedder
    from engine.retrieval.search.retriever import Retriever

    progress = TerminalProgress()
    opened = open_corpus(corpus, captions)
    opened_embedder = load_embedder(embedder, device, progress)
    collection = open_collection(opened, opened_embedder, progress, backend=index)  # type: ignore[arg-type]
    collection.rows(split)  # a wrong split is refused before a large model is loaded
    retriever = Retriever(collection, load_scorer(mllm, reranker, device, progress))
    for warning in collection.warnings:
        progress.warn(warning)
    events = retriever.search(query, options)
    if json:
        print_json(document(query, events, retriever))
    else:
        for event in events:
            say(event, retriever)
        next_step("atomscope serve")


def read_image(path: Path) -> Any:
    """A picture from a file. Raises ``InputError``."""
    from engine.corpus import decode_image

    return decode_image(path)


def load_scorer(mllm: str, reranker: str, device: str, progress: Progress) -> Scorer | None:
    """What reads the pool: the reranker where one is named, else the multimodal model; None for "none"."""
    if reranker:
        from engine.retrieval.fine.reranker import load_reranker

        return load_reranker(reranker, device, progress)
    if mllm == NO_MODEL:
        return None
    from engine.retrieval.fine.mllm_scorer import FineScorer
    from engine.retrieval.fine.model import load_mllm

    return FineScorer(load_mllm(mllm, device, progress), progress=progress)


def chosen_enhancement(preset: str) -> Enhancement | None:
    """The enhancement of a preset, None for "". Raises ``InputError``."""
    from engine.retrieval.search.query import Enhancement

    if not preset:
        return None
    if preset not in PRESETS:
        raise InputError(f"There is no enhancement preset {preset!r}; choose one of {', '.join(PRESETS)}.")
    return Enhancement(preset=preset)  # type: ignore[arg-type]


def say(event: Event, retriever: Retriever) -> None:
    """One event as a person reads it."""
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
            _say_pool(event, retriever)
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
            name = retriever.collection.id(winner)
            err.print(f"  {len(tied)} candidates share the best score; the lowest entropy has {name}", markup=False)
        case e.Done():
            _say_order(event, retriever)


def _say_pool(event: PoolReady, retriever: Retriever) -> None:
    err.print(f"pool: {len(event.entries)} of {event.gallery:,} items in {event.seconds:.2f} s", markup=False)
    for entry in event.entries:
        err.print(f"  {entry.rank:>3}  {entry.score:.3f}  {entry.id}", markup=False, soft_wrap=True)


def _say_order(done: Any, retriever: Retriever) -> None:
    known = {record.entry.item: record for record in done.records}
    for rank, item in enumerate(done.order, 1):
        record = known.get(item)
        score = f"{record.score:+.3f}" if record is not None and record.score is not None else "  --  "
        caption = retriever.collection.corpus.items["caption"].iat[item]
        out.print(f"{rank:>3}  {score}  {retriever.collection.id(item)}  {caption}", markup=False, soft_wrap=True)
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in done.seconds.items())
    err.print(seconds + (", cancelled" if done.cancelled else ""), markup=False)


def document(query: Query, events: Iterator[Event], retriever: Retriever) -> dict[str, Any]:
    """The whole search as one JSON-ready dict."""
    from engine.retrieval.search import events as e

    found: dict[str, Any] = {
        "query": {"text": query.text, "image": query.image is not None and list(query.image.size)},
        "pool": [],
        "fine": [],
        "plain": [],
        "notes": [],
        "tie": None,
    }
    for event in events:
        match event:
            case e.Started(models=models, options=options):
                found |= {"models": models, "options": options}
            case e.PoolReady():
                found |= {"pool": [asdict(entry) for entry in event.entries], "gallery": event.gallery}
            case e.CandidateScored(record=record, plain=plain):
                found["fine"].append(asdict(record))
                found["plain"] += [asdict(plain)] if plain is not None else []
            case e.CandidateFailed(record=record):
                found["fine"].append(asdict(record))
            case e.FineSkipped(reason=reason) | e.StoppedEarly(reason=reason):
                found["notes"].append(reason)
            case e.TieResolved():
                found["tie"] = asdict(event)
            case e.Done():
                order = [{"item": item, "id": retriever.collection.id(item)} for item in event.order]
                found |= {"order": order, "seconds": event.seconds, "cancelled": event.cancelled}
    return finite(found)


def finite(value: Any) -> Any:
    """``value`` with NaN and infinities as None, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return None
    return value
