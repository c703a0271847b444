"""The coarse half of a benchmark: vectors of both galleries, and the first candidates of every query."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.backbones.vectors import Vectors
from engine.errors import InputError
from engine.progress import Progress
from engine.retrieval.coarse.collection import Collection, open_collection
from engine.retrieval.coarse.embedders.base import AsymmetricEmbedder, Embedder
from engine.retrieval.coarse.index import ExactIndex
from engine.retrieval.coarse.vectors import embed_rows
from engine.retrieval.evaluation.pairs import PairSet, evenly_spaced

Direction = Literal["text-image", "image-text"]
DIRECTIONS: tuple[Direction, ...] = ("text-image", "image-text")

_BATCH = 16


@dataclass(frozen=True)
class BenchmarkQuery:
    """One query with its candidates.

    Attributes
    ----------
    query : int
        A caption's number (text-image) or a picture's corpus row (image-text).
    candidates, scores : list
        The first candidates, best first (corpus rows, or caption numbers), and their cosines.
    right : set of int
        The candidates that answer it.
    """

    query: int
    candidates: list[int]
    scores: list[float]
    right: set[int]

    def rank(self, order: Sequence[int]) -> int | None:
        """Rank, from 1, of the first right candidate in ``order``; None if there is none."""
        return next((place for place, item in enumerate(order, 1) if item in self.right), None)


@dataclass(frozen=True)
class Galleries:
    """Both galleries of a benchmark with their vectors.

    Attributes
    ----------
    pairs : PairSet
        Those whose picture can be read.
    collection : Collection
        The corpus of the pictures.
    captions : float32 [C, d]
        Unit vectors of the captions as candidates; those of the pictures are the collection's.
    asked_captions : float32 [C, d]
        Unit vectors of the captions as queries.
    asked_pictures : float32 [N, d]
        Unit vectors of the corpus's pictures as queries.
    """

    pairs: PairSet
    collection: Collection
    captions: Vectors
    asked_captions: Vectors
    asked_pictures: Vectors

    def ask(self, direction: Direction, queries: int | None, depth: int) -> list[BenchmarkQuery]:
        """``queries`` queries, evenly spread over the gallery, each with its first ``depth`` candidates."""
        pairs = self.pairs
        if direction == "text-image":
            chosen = np.asarray(evenly_spaced(len(pairs.captions), queries))
            images = ExactIndex(self.collection.vectors("image"))
            found, scores = images.search_many(self.asked_captions[chosen], depth, pairs.pictures)
            right = [pairs.right_pictures(int(caption)) for caption in chosen]
        else:
            chosen = pairs.pictures[np.asarray(evenly_spaced(len(pairs.pictures), queries))]
            found, scores = ExactIndex(self.captions).search_many(self.asked_pictures[chosen], depth)
            right = [pairs.right_captions(int(row)) for row in chosen]
        return [
            BenchmarkQuery(int(query), items.tolist(), cosines.tolist(), answers)
            for query, items, cosines, answers in zip(chosen, found, scores, right, strict=True)
        ]


def open_galleries(pairs: PairSet, embedder: Embedder, progress: Progress) -> Galleries:
    """Embed pictures and captions, or take what the cache or the project has; unreadable pictures are left out.

    Raises
    ------
    InputError
        If the embedder has one side only.
    """
    if embedder.modalities != {"text", "image"}:
        raise InputError(
            f"A benchmark asks with texts and with pictures, and the embedder {embedder.identity['name']} embeds "
            f"{' and '.join(sorted(embedder.modalities))} only."
        )
    collection = open_collection(pairs.corpus, embedder, progress)
    readable = collection.has("image")[pairs.owners]
    if not readable.all():
        captions = [caption for caption, kept in zip(pairs.captions, readable, strict=True) if kept]
        pairs = PairSet(pairs.corpus, pairs.split, captions, pairs.owners[readable], pairs.own)
    if pairs.own:
        found = np.asarray(collection.vectors("text")[pairs.owners])
    else:
        found = _embedded_captions("captions", embedder.embed_texts, pairs.captions, collection, progress)
    if not isinstance(embedder, AsymmetricEmbedder):
        return Galleries(pairs, collection, found, found, collection.vectors("image"))
    asked = _embedded_captions("asked-captions", embedder.embed_text_queries, pairs.captions, collection, progress)
    return Galleries(pairs, collection, found, asked, _asked_pictures(pairs, embedder, collection, progress))


def _embedded_captions(
    kind: str,
    embed: Callable[[Sequence[str]], Vectors],
    captions: list[str],
    collection: Collection,
    progress: Progress,
) -> Vectors:
    """Vectors of the captions by ``embed``, kept in the collection's folder under ``kind`` and a hash of the captions."""
    name = f"{kind}-{hashlib.sha256(repr(captions).encode()).hexdigest()[:16]}"

    def embed_some(rows: NDArray[np.int64]) -> tuple[Vectors, NDArray[np.bool_]]:
        return embed([captions[row] for row in rows]), np.ones(len(rows), bool)

    rows = np.arange(len(captions), dtype=np.int64)
    return embed_rows(collection.folder, name, rows, len(captions), collection.embedder.width, embed_some, progress)[0]


def _asked_pictures(
    pairs: PairSet, embedder: AsymmetricEmbedder, collection: Collection, progress: Progress
) -> Vectors:
    """Vectors of the benchmark's pictures as queries, kept in the collection's folder; zeros for the others [N, d]."""
    name = f"asked-pictures-{hashlib.sha256(pairs.pictures.tobytes()).hexdigest()[:16]}"

    def embed_some(rows: NDArray[np.int64]) -> tuple[Vectors, NDArray[np.bool_]]:
        vectors = np.zeros((len(rows), embedder.width), np.float32)
        for start in range(0, len(rows), _BATCH):
            images = [collection.image(int(row)) for row in rows[start : start + _BATCH]]
            vectors[start : start + _BATCH] = embedder.embed_image_queries(images)
        return vectors, np.ones(len(rows), bool)

    rows = np.asarray(pairs.pictures, np.int64)
    return embed_rows(
        collection.folder, name, rows, len(collection), embedder.width, embed_some, progress, noun="pictures"
    )[0]
