"""The coarse stage: one vector for a query of text, image or both, and the pool of its nearest candidates."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from engine.backbones.vectors import Vectors, mix_vectors
from engine.retrieval.coarse.embedders.base import Embedder, embed_image_queries, embed_text_queries
from engine.retrieval.search.events import PoolEntry, PoolReady
from engine.retrieval.search.query import Query, SearchOptions, View

if TYPE_CHECKING:
    from engine.retrieval.coarse.collection import Collection

MOST_SCORES = 2_000
"""Cosines that ``PoolReady`` carries for the distribution; a larger gallery is thinned to this many quantiles."""


def embed_query(embedder: Embedder, query: Query, share: float) -> Vectors:
    """The query's unit vector, float32 [d].

    Raises
    ------
    InputError
        If the embedder has no side for what the query is made of.
    """
    image = embed_image_queries(embedder, [query.image]) if query.image is not None else None
    text = embed_text_queries(embedder, [query.text]) if query.text.strip() else None
    if image is not None and text is not None:
        return np.asarray(mix_vectors(image, text, share)[0])
    part = image if image is not None else text
    assert part is not None  # a query is never empty
    return np.asarray(part[0])


def wanted_parts(query: Query, view: View) -> tuple[str, ...]:
    """What of a candidate to compare, the most wanted first; the others stand in where a gallery lacks it.

    "auto" is what the query is not: pictures for a text, captions for a picture, both for both.
    """
    first = {"text": "image", "image": "text", "both": "both"}[query.kind] if view == "auto" else view
    return (first, *(part for part in ("both", "image", "text") if part != first))


def make_pool(collection: Collection, query: Query, options: SearchOptions) -> PoolReady:
    """Embed the query and find its ``top_k`` nearest candidates among the items of ``options.split``.

    Raises
    ------
    InputError
        If there is no item of that split, or the embedder cannot embed the query.
    """
    began = time.perf_counter()
    share_query, share_candidate = options.weights
    rows = collection.rows(options.split)
    part = collection.embedded_part(wanted_parts(query, options.view), rows)
    vector = embed_query(collection.embedder, query, share_query)
    index = collection.index(part, share_candidate)
    rows = rows[collection.has(part)[rows]]
    scores = index.scores(vector, rows)
    found, cosines = index.search(vector, options.top_k, rows)
    entries = [
        PoolEntry(item=int(item), id=collection.id(int(item)), rank=rank, score=float(score))
        for rank, (item, score) in enumerate(zip(found, cosines, strict=True), 1)
    ]
    return PoolReady(
        entries=entries,
        seconds=time.perf_counter() - began,
        scores=_thinned(scores),
        gallery=len(rows),
        answer_rank=_rank_of(query.answer, rows, scores),
    )


def _rank_of(answer: int | None, rows: np.ndarray, scores: np.ndarray) -> int | None:
    """Rank, from 1, of one item among all scores; ties go by row."""
    if answer is None or not len(place := np.flatnonzero(rows == answer)):
        return None
    own = scores[place[0]]
    return int((scores > own).sum() + (scores[: place[0]] == own).sum()) + 1


def _thinned(scores: np.ndarray) -> list[float]:
    descending: Iterable[float] = np.sort(scores)[::-1]
    if len(scores) > MOST_SCORES:
        descending = np.asarray(descending)[np.linspace(0, len(scores) - 1, MOST_SCORES).round().astype(int)]
    return [float(score) for score in descending]
