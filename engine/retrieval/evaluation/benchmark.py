"""The benchmark: coarse, fine, and fine with visual enhancement, on the same queries, in both directions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.progress import Progress
from engine.retrieval.coarse.embedders.base import Embedder
from engine.retrieval.evaluation.coarse import DIRECTIONS, BenchmarkQuery, Direction, Galleries, open_galleries
from engine.retrieval.evaluation.measures import DEPTHS, gains, hits, interval, median, recalls
from engine.retrieval.evaluation.pairs import PairSet
from engine.retrieval.evaluation.scorebook import Judgement, ScoreBook
from engine.retrieval.evaluation.timing import timed
from engine.retrieval.fine.scorer import Scorer
from engine.retrieval.search.events import Mode, PoolEntry
from engine.retrieval.search.query import Enhancement
from engine.retrieval.search.ranking import final_order

LONGEST_LIST = 9
"""Captions the listwise mode reads in one prompt; larger pools have no listwise score."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What is measured.

    Attributes
    ----------
    top_k : tuple of int
        Pool sizes.
    modes : tuple of str
        Fine scores; empty: the model's default. "listwise" is measured from pictures to captions only.
    directions : tuple of str
        "text-image", "image-text".
    queries : int or None
        Queries a direction, evenly spread over the gallery; None: all.
    enhancement : Enhancement or None
        Also measured with it, in the first of the modes.
    timed : int
        Whole searches a direction whose time is taken, nothing remembered from before.
    """

    top_k: tuple[int, ...] = (5, 10)
    modes: tuple[Mode, ...] = ()
    directions: tuple[Direction, ...] = DIRECTIONS
    queries: int | None = None
    enhancement: Enhancement | None = None
    timed: int = 8


def benchmark(
    pairs: PairSet,
    embedder: Embedder,
    scorer: Scorer | None,
    options: BenchmarkOptions,
    progress: Progress,
    scores: Path | None = None,
) -> dict[str, Any]:
    """Measure recall on ``pairs``, whose whole split is the gallery. A run that was killed continues when it is started again.

    Parameters
    ----------
    scorer : Scorer, optional
        None: the coarse stage only.
    scores : Path, optional
        Where judgements are kept; default ``cache_dir()/retrieval/scores``.

    Returns
    -------
    dict
        JSON-ready. ``directions[d]``: "coarse" (recall@1/5/10), "ceiling" (coarse recall@k: no order of a pool can do
        better at rank 1), "fine"[mode][k] and "enhanced"[mode][k] with recall and its gain over coarse (and over fine),
        "sweep"[mode]: recall@1 for every pool size. Every figure is {"value", "low", "high"}, a 95% bootstrap interval.
        "true_false", "label_mass", "seconds" beside.

    Raises
    ------
    InputError
        If the embedder has one side only, or the scorer cannot do what is asked.
    """
    galleries = open_galleries(pairs, embedder, progress)
    depth = max(*options.top_k, *DEPTHS)
    asked = {direction: galleries.ask(direction, options.queries, depth) for direction in options.directions}
    document: dict[str, Any] = {
        "corpus": galleries.collection.describe() | {"split": pairs.split},
        "models": {"embedder": embedder.identity, "mllm": scorer.identity if scorer is not None else None},
        "gallery": {"pictures": len(galleries.pairs.pictures), "captions": len(galleries.pairs.captions)},
        "directions": {},
    }
    for direction, queries in asked.items():
        ranks = [one.rank(one.candidates) for one in queries]
        document["directions"][direction] = {
            "queries": len(queries),
            "coarse": recalls(ranks),
            "ceiling": {str(k): interval(hits(ranks, k)) for k in options.top_k},
            "fine": {},
            "enhanced": {},
            "sweep": {},
        }
    if scorer is None:
        return document
    modes = options.modes or (scorer.default_mode,)
    document |= {"label_mass": {}, "true_false": {}, "seconds": {}}
    for number, mode in enumerate(modes):
        enhancement = options.enhancement if number == 0 else None
        book = ScoreBook(scorer, mode, enhancement, scores)
        tests = _hard_pairs(galleries, options)
        _judge(book, galleries, asked, tests, max(options.top_k), progress)
        _report(document, book.plain or book, galleries, asked, options, tests)
        if book.plain is not None:
            _report(document, book, galleries, asked, options, tests, base=book.plain)
    document["seconds"] = timed(galleries, scorer, asked, options.timed, options.top_k[0], modes[0], progress)
    return document


def _hard_pairs(galleries: Galleries, options: BenchmarkOptions) -> list[tuple[int, int, bool]]:
    """Picture, caption, and whether they match: each picture's own caption, and the nearest one that is wrong."""
    found = []
    for one in galleries.ask("image-text", options.queries, max(DEPTHS)):
        wrong = next((caption for caption in one.candidates if caption not in one.right), None)
        if wrong is not None:
            own = int((galleries.pairs.owners == one.query).argmax())
            found += [(one.query, own, True), (one.query, wrong, False)]
    return found


def _judge(
    book: ScoreBook,
    galleries: Galleries,
    asked: dict[Direction, list[BenchmarkQuery]],
    tests: list[tuple[int, int, bool]],
    k: int,
    progress: Progress,
) -> None:
    """Judge every pair that any pool of at most ``k`` needs, picture by picture."""
    collection, captions = galleries.collection, galleries.pairs.captions
    stage = f"Reading pairs ({book.mode}{', enhanced' if book.enhancement else ''})"
    if book.mode == "listwise":
        lists = [(one.query, one.candidates[: min(k, LONGEST_LIST)]) for one in asked.get("image-text", [])]
        progress.start(stage, len(lists), "lists")
        for row, chosen in lists:
            words = [captions[caption] for caption in chosen]
            book.fill(lambda row=row: collection.image(row), _list_key(collection, row, words), words, progress, True)  # type: ignore[misc]
            progress.advance()
        progress.finish()
        return
    needed: dict[int, dict[int, None]] = defaultdict(dict)
    for one in asked.get("text-image", []):
        for row in one.candidates[:k]:
            needed[row][one.query] = None
    for one in asked.get("image-text", []):
        needed[one.query] |= dict.fromkeys(one.candidates[:k])
    for row, caption, _ in tests:
        needed[row][caption] = None
    progress.start(stage, sum(map(len, needed.values())), "pairs")
    for row in sorted(needed):
        words = [captions[caption] for caption in needed[row]]
        book.fill(lambda row=row: collection.image(row), collection.cache_key(row), words, progress)  # type: ignore[misc]
        progress.advance(len(words))
    progress.finish()


def _list_key(collection: Any, row: int, words: Sequence[str]) -> str:
    return f"{collection.cache_key(row)} {words!r}"


def _report(
    document: dict[str, Any],
    book: ScoreBook,
    galleries: Galleries,
    asked: dict[Direction, list[BenchmarkQuery]],
    options: BenchmarkOptions,
    tests: list[tuple[int, int, bool]],
    base: ScoreBook | None = None,
) -> None:
    """Write what one book says into the document; ``base`` is the same mode without enhancement."""
    kind, mode = ("enhanced" if base is not None else "fine"), book.mode
    used: list[Judgement] = []
    for direction, queries in asked.items():
        part = document["directions"][direction]
        coarse = [one.rank(one.candidates) for one in queries]
        sizes = [k for k in options.top_k if mode != "listwise" or k == min(max(options.top_k), LONGEST_LIST)]
        if mode == "listwise" and direction == "text-image":
            continue
        part[kind][mode] = {}
        for k in sizes:
            ranks = _ranks(book, galleries, direction, queries, k, used if k == max(sizes) else None)
            figures = {"recall": recalls(ranks), "gain": gains(ranks, coarse)}
            if base is not None:
                figures["gain_over_fine"] = gains(ranks, _ranks(base, galleries, direction, queries, k))
            part[kind][mode][str(k)] = figures
        if mode != "listwise" and base is None:
            part["sweep"][mode] = [
                {
                    "k": k,
                    "recall@1": float(hits(_ranks(book, galleries, direction, queries, k), 1).mean()),
                    "ceiling": float(hits(coarse, k).mean()),
                }
                for k in range(1, max(options.top_k) + 1)
            ]
    name = f"{mode}, enhanced" if base is not None else mode
    document["label_mass"][name] = median([one.label_mass for one in used if one.label_mass is not None])
    if (verdicts := _verdicts(book, galleries, tests)) is not None:
        document["true_false"][name] = verdicts
    if base is not None:
        fired = [one.fired_layer is not None for one in used]
        part = document.setdefault("enhancement", {})
        part |= {"fired": sum(fired) / max(len(fired), 1), "options": vars(book.enhancement)}


def _ranks(
    book: ScoreBook,
    galleries: Galleries,
    direction: Direction,
    queries: list[BenchmarkQuery],
    k: int,
    used: list[Judgement] | None = None,
) -> list[int | None]:
    """Rank of the right answer of every query after its first ``k`` candidates were put in order."""
    collection, captions = galleries.collection, galleries.pairs.captions
    found = []
    for one in queries:
        pool = [
            PoolEntry(item, "", rank, score)
            for rank, (item, score) in enumerate(zip(one.candidates[:k], one.scores, strict=False), 1)
        ]
        records = []
        words = [captions[entry.item] for entry in pool] if direction == "image-text" else []
        for entry in pool:
            row, caption = (entry.item, one.query) if direction == "text-image" else (one.query, entry.item)
            key = _list_key(collection, row, words) if book.mode == "listwise" else collection.cache_key(row)
            judged = book.get(key, captions[caption]) or Judgement(None)
            records.append(judged.record(entry, book.mode, book.prior))
            if used is not None:
                used.append(judged)
        found.append(one.rank(final_order(pool, records)[0] + one.candidates[k:]))
    return found


def _verdicts(book: ScoreBook, galleries: Galleries, tests: list[tuple[int, int, bool]]) -> dict[str, Any] | None:
    """Share of matched and of hard mismatched pairs that the model calls by their name; None in modes without labels."""
    right = []
    for row, caption, matched in tests:
        judged = book.get(galleries.collection.cache_key(row), galleries.pairs.captions[caption])
        if judged is not None and judged.p_true is not None and judged.p_false is not None:
            right.append((matched, (judged.p_true > judged.p_false) == matched))
    if not right:
        return None
    parts = {
        "matched": [good for kind, good in right if kind],
        "mismatched": [good for kind, good in right if not kind],
    }
    return {"pairs": len(right), "accuracy": interval([good for _, good in right])} | {
        name: interval(values) for name, values in parts.items()
    }
