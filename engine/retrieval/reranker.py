"""Trained rerankers on the same pool, through sentence-transformers' ``CrossEncoder``: training-free beside trained."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from PIL import Image

from engine.backbones import checkpoints
from engine.backbones.loading import pick_device
from engine.errors import InputError
from engine.progress import Progress, Silent
from engine.retrieval.byte_cache import ByteCache
from engine.retrieval.candidates import CandidateView, batches, digest, failed, sides
from engine.retrieval.events import CandidateFailed, CandidateScored, FineRecord
from engine.retrieval.prompts import Side
from engine.retrieval.query import Query, SearchOptions

MODE: Literal["reranker"] = "reranker"
_RECORDS, _RECORD = 2**24, 1024


def load_reranker(name: str, device: str = "auto", progress: Progress | None = None) -> Reranker:
    """Load a CrossEncoder: hub id or local folder, of texts or of texts and pictures.

    Raises
    ------
    InputError
        If sentence-transformers is not installed, or the model is unknown, cannot be loaded, or is no reranker.
    AtomscopeError
        If the hub cannot be reached.
    """
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise InputError(
            "Trained rerankers need the package sentence-transformers: pip install 'atomscope[rerank]'."
        ) from error
    target = pick_device(device)
    with checkpoints.quiet():
        source = checkpoints.find_checkpoint(name, progress or Silent())
        config = checkpoints.load_config(source)
        with checkpoints.explained(source):
            model = CrossEncoder(source.location, device=str(target), local_files_only=source.offline)
    if model.num_labels != 1:
        raise InputError(
            f"{name} gives {model.num_labels} values a pair and a reranker gives one: name a model trained to rank pairs."
        )
    identity = {
        "name": name,
        "revision": checkpoints.revision_of(source, config),
        "architecture": f"CrossEncoder ({config.model_type})",
        "note": source.note,
        "dtype": str(getattr(model, "dtype", "")).removeprefix("torch."),
        "device": str(target),
    }
    return Reranker(model, identity)


class Reranker:
    """Scores candidates with a trained CrossEncoder; the same interface as ``FineScorer``.

    Attributes
    ----------
    identity : dict
        Name, revision, architecture, note, dtype, device.
    default_mode : str
        ``"reranker"``: there is no other.
    enhancement_fault : str
        Always a sentence: a trained reranker is read as it is.
    """

    default_mode = MODE
    enhancement_fault = "Visual enhancement belongs to the training-free score; a trained reranker is read as it is."

    def __init__(self, model: Any, identity: dict[str, Any]) -> None:
        self.identity = identity
        self._model = model
        self._pictures = "image" in model.modalities
        self._records: ByteCache[FineRecord] = ByteCache(_RECORDS)
        self._lock = threading.Lock()

    def score(
        self,
        query: Query,
        candidates: Sequence[CandidateView],
        options: SearchOptions,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[CandidateScored | CandidateFailed]:
        """Score the candidates in the order given, a batch at a time; a failure costs the others nothing.

        Raises
        ------
        InputError
            If the options ask for visual enhancement.
        """
        if options.enhancement is not None:
            raise InputError(self.enhancement_fault)
        asked = digest(query.image)
        for batch in batches(candidates, max(1, options.batch)):
            if cancelled():
                return
            with self._lock:
                events = [*self._batch(query, asked, batch, options)]
            yield from events

    def _batch(
        self, query: Query, asked: str, batch: Sequence[CandidateView], options: SearchOptions
    ) -> list[CandidateScored | CandidateFailed]:
        done: dict[int, CandidateScored | CandidateFailed] = {}
        pairs: dict[int, tuple[Any, Any]] = {}
        start = time.perf_counter()
        keys = [self._key(query, asked, view, options) for view in batch]
        for place, view in enumerate(batch):
            if (kept := self._records.get(keys[place])) is not None:
                took = (time.perf_counter() - start) * 1000
                done[place] = CandidateScored(replace(kept, entry=view.entry, cache="score", milliseconds=took))
                continue
            try:
                pairs[place] = self._pair(query, view, options)
            except Exception as error:
                done[place] = failed(view.entry, MODE, error, start)
        for place, event in self._predict(batch, pairs):
            done[place] = event
            if isinstance(event, CandidateScored) and keys[place] is not None:
                self._records.put(keys[place], event.record, _RECORD)
        return [done[place] for place in range(len(batch))]

    def _predict(
        self, batch: Sequence[CandidateView], pairs: dict[int, tuple[Any, Any]]
    ) -> Iterator[tuple[int, CandidateScored | CandidateFailed]]:
        """Scores of all pairs together; if that fails, one by one."""
        if not pairs:
            return
        start = time.perf_counter()
        try:
            values = self._model.predict(list(pairs.values()), batch_size=len(pairs), show_progress_bar=False)
        except Exception as error:
            for place, pair in pairs.items():
                if len(pairs) > 1:
                    yield from self._predict(batch, {place: pair})
                else:
                    yield place, failed(batch[place].entry, MODE, error, start)
            return
        share = (time.perf_counter() - start) * 1000 / len(pairs)
        for place, value in zip(pairs, values, strict=True):
            yield place, CandidateScored(FineRecord(batch[place].entry, float(value), MODE, milliseconds=share))

    def _pair(self, query: Query, view: CandidateView, options: SearchOptions) -> tuple[Any, Any]:
        asked, seen = sides(query, view, options.view, self._pictures)
        if (asked.picture or seen.picture) and not self._pictures:
            whose = "the query is a picture" if asked.picture else "the candidates are pictures"
            raise InputError(f"{self.identity['name']} reads texts only, and {whose}; use a multimodal reranker.")
        return _element(asked, query.image), _element(seen, view.image() if seen.picture and view.image else None)

    @staticmethod
    def _key(query: Query, asked: str, view: CandidateView, options: SearchOptions) -> Any:
        if view.image is not None and not view.key:
            return None
        return (query.text, asked, view.key, view.text, options.view)


def _element(side: Side, image: Image.Image | None) -> Any:
    """One side of a pair as a CrossEncoder takes it: a text, a picture, or both."""
    if image is None:
        return side.text
    return {"image": image, "text": side.text} if side.text else image
