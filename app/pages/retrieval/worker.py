"""What the worker thread does for the Retrieval page: one search, and the atoms of the pictures it compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from app.opened import corpora, models
from app.pages.retrieval.request import Request
from app.work import Job
from engine.errors import AtomscopeError, InputError
from engine.inspection.shared_atoms import EncodedCandidate, atlas_item, encode_candidate
from engine.retrieval.search.events import Event, PoolReady, Started
from engine.retrieval.search.query import Query, SearchOptions

if TYPE_CHECKING:
    from PIL import Image

    from engine.atlas import Atlas
    from engine.corpus import Corpus


def search(
    job: Job[Event], entry: corpora.CorpusEntry | None, request: Request, upload: Image.Image | None, answer: int | None
) -> None:
    """Load what is not loaded, then run the search and pass the retriever's events on.

    Without the fine stage (weights missing, a folder that is no MLLM) the coarse one still answers, and a warning says why.

    Parameters
    ----------
    entry : the corpus of ``request``, as it was when the search was asked for
    upload : the uploaded picture of the query, if there is one
    answer : corpus row the query is known to ask for, see :func:`answer_of`

    Raises
    ------
    AtomscopeError
        If the corpus or the query's picture cannot be had, or the weights of the coarse stage are missing.
    """
    job.start("Loading torch and transformers", None)  # seconds, the first time
    from engine.retrieval.search.retriever import Retriever

    job.finish()
    if entry is None:
        raise InputError(f"No corpus {request.corpus!r} is open here.")
    if entry.corpus is None:
        raise InputError(entry.problem)
    image = _corpus_image(entry, entry.corpus, request.item) if request.item else upload
    query = Query(request.text.strip(), image, answer)
    options = options_of(request, entry.searched_split(request.split))
    collection = models.collection(entry.corpus).get(job)
    reader, scorer = models.scorer(), None
    if not reader.ready:  # the pool can be looked at while the model is being loaded
        job.finish()
        for event in Retriever(collection, None).search(query, options, job.cancelled):
            if isinstance(event, (Started, PoolReady)):
                job.emit(event)
    try:
        scorer = reader.get(job)
    except AtomscopeError as error:
        job.warn(f"Only the coarse stage answers. {error}")
    job.finish()
    if scorer is not None and options.enhancement is not None and scorer.enhancement_fault:
        job.warn(f"Searched without visual enhancement. {scorer.enhancement_fault}")
        options = replace(options, enhancement=None)
    for event in Retriever(collection, scorer).search(query, options, job.cancelled):
        job.emit(event)


def _corpus_image(entry: corpora.CorpusEntry, corpus: Corpus, item: str) -> Image.Image:
    row = entry.row_of(item)
    if row is None:
        raise InputError(f"{corpus.name} has no item {item[:80]!r}.")
    return corpus.load(row)


def options_of(request: Request, split: str) -> SearchOptions:
    """The engine's options for a request; ``split`` is the one that is really searched ("" all)."""
    return SearchOptions(
        top_k=request.k,
        mode=request.mode,  # type: ignore[arg-type]
        enhancement=request.enhancement,
        tie_rule=request.tie == "on",
        skip_margin=request.skip,
        stop_lead=request.stop,
        view=request.view,  # type: ignore[arg-type]
        split=split,
        trace=True,
    )


def answer_of(entry: corpora.CorpusEntry | None, request: Request) -> int | None:
    """The item a query is known to ask for: the one whose caption it is, or whose picture when captions are read."""
    if entry is None or entry.corpus is None:
        return None
    split = entry.searched_split(request.split)
    items = entry.corpus.items
    searched = (items["split"] == split).to_numpy() if split else (items["id"] != "").to_numpy()
    if request.kind == "text":
        rows = ((items["caption"] == request.text.strip()).to_numpy() & searched).nonzero()[0]
        return int(rows[0]) if len(rows) == 1 else None
    if request.kind == "image" and request.item and request.view in ("auto", "text", "both"):
        row = entry.row_of(request.item)
        return row if row is not None and searched[row] and items["caption"].iat[row] else None
    return None


def encode(
    job: Job[EncodedCandidate],
    atlas: Atlas,
    entry: corpora.CorpusEntry,
    request: Request,
    upload: Image.Image | None,
    items: Sequence[int],
) -> None:
    """The atoms of an atlas in the query's picture and in the candidates ``items`` (corpus rows), one after another."""
    if entry.corpus is None:
        raise InputError(entry.problem)
    corpus = entry.corpus
    pictures: list[tuple[int | Literal["query"], int | None, Callable[[], Image.Image]]] = []
    if upload is not None:
        pictures.append(("query", None, lambda: upload))
    elif request.item and (row := entry.row_of(request.item)) is not None:
        pictures.append(("query", atlas_item(atlas, corpus.hash, row), partial(corpus.load, row)))
    for item in items:
        if corpus.items["kind"].iat[item] == "image":
            pictures.append((item, atlas_item(atlas, corpus.hash, item), partial(corpus.load, item)))
    for who, known, load in pictures:
        if job.cancelled():
            return
        job.emit(encode_candidate(lambda: models.encoder(atlas).get(job), atlas, who, known, load))
