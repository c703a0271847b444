"""The fine stage: a multimodal language model reads the query with every candidate of the pool, and says how well they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.errors import AtomscopeError, InputError
from engine.progress import Progress, SilentProgress
from engine.retrieval.fine.candidates import CandidateView, contents
from engine.retrieval.fine.enhancement import LayerLens, fault
from engine.retrieval.fine.model import Mllm
from engine.retrieval.fine.modes import SCORES, Task
from engine.retrieval.fine.picture import PreparedPicture
from engine.retrieval.fine.picture_store import PictureStore
from engine.retrieval.fine.prompts import make_statement
from engine.retrieval.fine.reader import PromptReader
from engine.retrieval.fine.rehearsal import rehearse
from engine.retrieval.fine.scorer import PoolScorer, Scored, ScorerQuery
from engine.retrieval.search.events import Mode
from engine.retrieval.search.query import SearchOptions

CACHE_BYTES = 2**30
_PICTURES = 0.25
"""Share of the cache for vision outputs; the rest holds keys and values, which are dearer in bytes and cheaper to redo."""


class FineScorer(PoolScorer[Task]):
    """Scores candidates with one model; see ``Scorer`` for what it tells of itself.

    Parameters
    ----------
    mllm : Mllm
    cache_bytes : int
        Room in memory for vision outputs and for keys and values.
    store : PictureStore, optional
        Pictures read ahead; default: the model's in the cache, where ``atomscope prepare`` puts them.
    progress : Progress, optional
        Warned of every cache that is off because trying it raised an exception.

    Attributes
    ----------
    limits : list of str
        What of the caches is off, a sentence each: what this architecture does not allow, and ``broken``.
    broken : list of str
        What is off because trying it raised an exception.
    reader : PromptReader
        The model with its caches.

    Raises
    ------
    InputError
        If the model cannot read a picture with a caption, or not several at once.
    """

    def __init__(
        self,
        mllm: Mllm,
        cache_bytes: int = CACHE_BYTES,
        store: PictureStore | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self.mllm = mllm
        self.identity: dict[str, Any] = mllm.identity
        self.default_mode: Mode = mllm.default_mode
        self.prior = mllm.prior
        self.pictures = mllm.pictures
        self.enhancement_fault = fault(mllm)
        in_memory = int(cache_bytes * _PICTURES)
        self.reader = PromptReader(mllm, in_memory, cache_bytes - in_memory, store)
        rehearsal = rehearse(self.reader)
        self.limits, self.broken = rehearsal.refused + rehearsal.broken, rehearsal.broken
        progress = progress or SilentProgress()
        for sentence in self.broken:
            progress.warn(sentence)

    @property
    def store(self) -> PictureStore | None:
        """Where pictures read ahead are kept; None if this architecture cannot take them back."""
        return self.reader.images.store if self.reader.images.share else None

    def look(self, views: Sequence[CandidateView]) -> tuple[list[PreparedPicture], dict[str, Exception]]:
        """Run the vision tower on candidates' pictures without a question; those of a view that has none are left out.

        Returns
        -------
        (list of PreparedPicture, dict)
            The pictures that could be read, and by candidate id what went wrong with the others.
        """
        found: list[PreparedPicture] = []
        faults: dict[str, Exception] = {}
        with self._lock:
            for view in views:
                try:
                    if view.image is not None:
                        found.append(self._picture(view))
                except Exception as error:
                    faults[view.entry.id] = error
            self.reader.images.encode(found)
        return found, faults

    def clear(self) -> None:
        """Forget all that is in memory: pictures, keys and values, records. What was read ahead stays on disk."""
        super().clear()
        with self._lock:
            self.reader.clear()

    def _mode(self, options: SearchOptions) -> Mode:
        if options.enhancement is not None and self.enhancement_fault:
            raise InputError(self.enhancement_fault)
        if options.enhancement is not None:
            LayerLens(self.mllm, options.enhancement)  # values that make no sense are said at once
        return options.mode or self.default_mode

    def _scored(self, search: ScorerQuery, _views: Sequence[CandidateView], tasks: Sequence[Task]) -> Sequence[Scored]:
        score, options = SCORES[search.mode], search.options
        if options.enhancement is None:
            lens = LayerLens(self.mllm) if options.trace and not self.enhancement_fault else None
            return [(record, None) for record in score(self.reader, tasks, lens)]
        acting = LayerLens(self.mllm, options.enhancement)
        records = score(self.reader, tasks, acting)
        if not acting.acted:  # not a bit was changed, so the plain reading would be the same
            return [(record, record) for record in records]
        return list(zip(records, score(self.reader, tasks, LayerLens(self.mllm)), strict=True))

    def _task(self, search: ScorerQuery, view: CandidateView) -> Task:
        statement = make_statement(*contents(search.query, view, search.options.view))
        if len(statement.pictures) > self.mllm.pictures:
            raise AtomscopeError(
                f"{self.mllm.identity['name']} reads one picture at a time and cannot compare two; let it read the "
                "captions of the candidates (view 'text'), or use a model that reads several pictures."
            )
        pictures = [self._asked(search) if whose == "query" else self._picture(view) for whose in statement.pictures]
        return Task(view.entry, statement, tuple(pictures))

    def _asked(self, search: ScorerQuery) -> PreparedPicture:
        """The query's picture."""
        image = search.query.image
        assert image is not None  # a statement names the query's picture only if there is one
        return self.reader.images.get(f"query:{search.digest}", lambda: image)

    def _picture(self, view: CandidateView) -> PreparedPicture:
        assert view.image is not None
        return self.reader.images.get(view.key and f"item:{view.key}", view.image)
