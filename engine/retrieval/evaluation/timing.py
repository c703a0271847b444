"""How long whole searches take, as a person runs them."""

from __future__ import annotations

from typing import Any

from engine.progress import Progress
from engine.retrieval.evaluation.coarse import BenchmarkQuery, Direction, Galleries
from engine.retrieval.evaluation.measures import median
from engine.retrieval.fine.scorer import Scorer
from engine.retrieval.search.events import MODES, Done, Mode
from engine.retrieval.search.query import Query, SearchOptions
from engine.retrieval.search.retriever import Retriever


def timed(
    galleries: Galleries,
    scorer: Scorer,
    asked: dict[Direction, list[BenchmarkQuery]],
    searches: int,
    top_k: int,
    mode: Mode,
    progress: Progress,
) -> dict[str, Any]:
    """Median seconds of the first ``searches`` queries of every direction, the scorer's memory emptied before each.

    Returns
    -------
    dict
        Direction -> "coarse", "fine", "all" (seconds), "searches", "top_k".
    """
    if not searches:
        return {}
    collection, pairs = galleries.collection, galleries.pairs
    retriever, found = Retriever(collection, scorer), dict[str, Any]()
    options = SearchOptions(top_k=top_k, mode=mode if mode in MODES else "", split=pairs.split)
    progress.start("Taking the time", sum(min(searches, len(queries)) for queries in asked.values()), "searches")
    for direction, queries in asked.items():
        times = []
        for one in queries[:searches]:
            if direction == "text-image":
                query = Query(text=pairs.captions[one.query])
            else:
                query = Query(image=collection.image(one.query))
            scorer.clear()
            times += [event.seconds for event in retriever.search(query, options) if isinstance(event, Done)]
            progress.advance()
        medians = {name: median([seconds[name] for seconds in times]) for name in ("coarse", "fine", "all")}
        found[direction] = medians | {"searches": len(times), "top_k": top_k}
    progress.finish()
    return found
