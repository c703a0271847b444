"""What a scorer may read of a candidate, how candidates are batched, and the record of one that failed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from engine.errors import AtomscopeError
from engine.retrieval.fine.prompts import Content
from engine.retrieval.search.events import CandidateFailed, FineRecord, Mode, PoolEntry
from engine.retrieval.search.query import Query, View


@dataclass(frozen=True)
class CandidateView:
    """What the scorer may read of one candidate.

    Attributes
    ----------
    entry : PoolEntry
    key : str
        Unique and stable id of the picture's bytes, for caches; "" when it must not be kept.
    image : callable or None
        Loads the picture, only when it is needed; may raise ``UnreadableItem``. None: there is no picture.
    text : str
        Its caption; "" for none.
    """

    entry: PoolEntry
    key: str
    image: Callable[[], Image.Image] | None
    text: str


def contents(query: Query, candidate: CandidateView, view: View, pictures: bool = True) -> tuple[Content, Content]:
    """What of the query and of a candidate is read.

    ``view`` "auto" reads what the query is not: a picture for words, a caption for a picture, as far as the candidate has
    it. ``pictures`` False: the model reads texts only.

    Raises
    ------
    AtomscopeError
        If that leaves nothing of the candidate.
    """
    seen = view
    if seen == "auto":
        wants_text = not pictures or (query.kind == "image" and bool(candidate.text))
        seen = "text" if wants_text or candidate.image is None else "image"
    picture = candidate.image is not None and seen != "text"
    caption = candidate.text.strip() if seen != "image" else ""
    if not picture and not caption:
        missing = "picture" if seen == "image" else "caption"
        raise AtomscopeError(f"The candidate has no {missing}, which is what the model was to read.")
    return Content(query.image is not None, query.text.strip()), Content(picture, caption)


def batches(candidates: Sequence[CandidateView], size: int) -> Iterator[Sequence[CandidateView]]:
    """One candidate first, so that a first result is there soon; the rest in as few batches of at most ``size`` as will do,
    equally large: a small last one would cost nearly as much as a full one."""
    yield from [candidates[:1]] if candidates else []
    rest = candidates[1:]
    count = -(-len(rest) // size)
    for number in range(count):
        yield rest[number * len(rest) // count : (number + 1) * len(rest) // count]


def digest(image: Image.Image | None) -> str:
    """An id of a picture's pixels; "" for none."""
    if image is None:
        return ""
    return hashlib.sha256(repr((image.mode, image.size)).encode() + image.tobytes()).hexdigest()


def failed_record(entry: PoolEntry, mode: Mode, error: Exception, start: float) -> CandidateFailed:
    """The record of a candidate that could not be scored; ``start`` is when it was begun (``time.perf_counter``)."""
    took = (time.perf_counter() - start) * 1000
    return CandidateFailed(FineRecord(entry, None, mode, parsed=False, milliseconds=took, error=_sentence(error)))


def _sentence(error: Exception) -> str:
    if isinstance(error, AtomscopeError):
        return str(error)
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return "There was not enough memory to read this candidate; use smaller pictures or a smaller model."
    line = str(error).split("\n")[0].strip().rstrip(".")
    return f"The model failed on this candidate ({type(error).__name__}{': ' + line if line else ''})."
