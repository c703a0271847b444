"""A whole search as one JSON document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.files import without_nan
from engine.retrieval.search import events as e
from engine.retrieval.search.query import Query

if TYPE_CHECKING:
    from engine.retrieval.coarse.collection import Collection


def search_document(query: Query, events: Iterable[e.Event], collection: Collection) -> dict[str, Any]:
    """Run a search to its end and return everything it said.

    Returns
    -------
    dict, JSON-ready
        ``query``; ``models``, ``options`` (see ``Started``); ``pool`` (entries) and ``gallery`` (items searched); ``fine``
        (a record of each candidate that was read or failed) and ``plain`` (the same without enhancement, where both were
        asked for); ``notes`` (why candidates were not read); ``tie``; ``order`` (item and id, best first), ``seconds``,
        ``cancelled``. Numbers that are not finite are None.
    """
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
                order = [{"item": item, "id": collection.id(item)} for item in event.order]
                found |= {"order": order, "seconds": event.seconds, "cancelled": event.cancelled}
    document: dict[str, Any] = without_nan(found)
    return document
