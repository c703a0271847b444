"""The models behind the page: loaded once for all sessions by whoever asks first, always in the worker thread."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

import streamlit as st

from app import corpora, library
from app.retrieval.request import Request
from app.work import Job
from engine.errors import AtomscopeError, InputError
from engine.paths import cache_dir
from engine.progress import Progress
from engine.retrieval.events import Event, PoolReady, Started

if TYPE_CHECKING:
    from PIL import Image

    from app.retrieval.concepts import Eyes
    from engine.retrieval.collection import Collection
    from engine.retrieval.embedders import Embedder
    from engine.retrieval.fine import FineScorer

T = TypeVar("T")

# How `atomscope serve --mllm` tells the server process which model reads the candidates.
VARIABLE = "ATOMSCOPE_MLLM"
DEMO = "demo"
DEMO_NOTE = "A small demo model trained for this demo; use a real multimodal model for real work."
WEIGHTS = "atomscope demo weights"

_DEMO_PARTS = {"coarse": ("clip-vit-b16", "minilm-l6-v2"), "fine": ("clip-vit-b16", "smollm2-135m")}


class Lazy(Generic[T]):
    """Something large, made at most once and then shared. An attempt that failed may be made again."""

    def __init__(self, make: Callable[[Progress], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._value: T | None = None

    @property
    def ready(self) -> bool:
        """Whether it is there already."""
        return self._value is not None

    def get(self, progress: Progress) -> T:
        """The thing itself; making it reports to ``progress``."""
        with self._lock:
            if self._value is None:
                self._value = self._make(progress)
                # Streamlit collects all garbage after every run: over the objects of torch and a model that never go
                # away, this would cost more than the run.
                gc.collect()
                gc.freeze()
            return self._value


def mllm() -> str:
    """The model that reads the candidates: a folder, a hub id, or "demo"."""
    return os.environ.get(VARIABLE) or DEMO


def mllm_title() -> str:
    """Its name for the eye."""
    return "Atomscope's demo model" if mllm() == DEMO else mllm()


def missing_weights(stage: str) -> list[str]:
    """Embedded models the demo's "coarse" or "fine" stage needs and the cache lacks.

    Looks for the folders only: the page asks on every run, and should not import torch for it.
    """
    folder = cache_dir() / "models"
    return [name for name in _DEMO_PARTS[stage] if not (folder / name / "config.json").is_file()]


def _refuse_missing(stage: str) -> None:
    if missing := missing_weights(stage):
        raise AtomscopeError(f"The weights of {' and '.join(missing)} are not on this machine. Run: {WEIGHTS}")


@st.cache_resource(show_spinner=False, max_entries=2)
def _embedder(name: str) -> Lazy[Embedder]:
    def make(progress: Progress) -> Embedder:
        _refuse_missing("coarse")
        progress.start("Loading the coarse stage's encoders", None)
        from engine.retrieval.embedders import load_embedder

        return load_embedder(name, progress=progress)

    return Lazy(make)


@st.cache_resource(show_spinner=False, max_entries=8)
def _collection(key: str, embedder: str) -> Lazy[Collection]:
    def make(progress: Progress) -> Collection:
        from engine.retrieval.collection import open_collection

        entry = _entry(key)
        assert entry.corpus is not None  # _entry refuses others
        return open_collection(entry.corpus, _embedder(embedder).get(progress), progress)

    return Lazy(make)


@st.cache_resource(show_spinner=False, max_entries=1)
def _scorer(name: str) -> Lazy[FineScorer]:
    def make(progress: Progress) -> FineScorer:
        if name == DEMO:
            _refuse_missing("fine")
        progress.start(f"Loading {mllm_title()}", None)
        from engine.retrieval.fine import FineScorer
        from engine.retrieval.mllm import load_mllm

        return FineScorer(load_mllm(name, progress=progress), progress=progress)

    return Lazy(make)


@st.cache_resource(show_spinner=False, max_entries=2)
def eyes(atlas: str) -> Lazy[Eyes]:
    """Backbone and SAE of an open atlas, to see the concepts in a picture."""

    def make(progress: Progress) -> Eyes:
        from app.retrieval.concepts import Eyes

        found = library.find(atlas)
        if found is None:
            raise InputError("This atlas is not open any more.")
        name = str(found.meta["backbone"]["name"])
        if name in _DEMO_PARTS["coarse"]:
            _refuse_missing("coarse")
        progress.start(f"Loading {name} and the SAE", None)
        return Eyes.of(found, progress)

    return Lazy(make)


def _entry(key: str) -> corpora.Entry:
    entry = corpora.entry(key)
    if entry is None:
        raise InputError(f"No corpus {key!r} is open here.")
    if entry.corpus is None:
        raise InputError(entry.problem)
    return entry


def gallery(entry: corpora.Entry, split: str) -> str:
    """The split that is really searched: what was asked for, or the corpus's own default; "" is the whole corpus.

    The demo's default is its test split: pictures the demo model has never seen.
    """
    known = entry.corpus.splits if entry.corpus is not None else {}
    if split in known:
        return split
    if split == "all" or entry.key != corpora.DEMO:
        return ""
    return "test"


def item_row(entry: corpora.Entry, identity: str) -> int | None:
    """Row of the corpus item with this id, None if there is none."""
    if entry.corpus is None:
        return None
    rows = (entry.corpus.items["id"] == identity).to_numpy().nonzero()[0]
    return int(rows[0]) if len(rows) else None


def answer_of(entry: corpora.Entry, request: Request) -> int | None:
    """The item a query is known to ask for: the one whose caption it is, or whose picture when captions are read."""
    if entry.corpus is None:
        return None
    split = gallery(entry, request.split)
    items = entry.corpus.items
    searched = (items["split"] == split).to_numpy() if split else (items["id"] != "").to_numpy()
    if request.kind == "text":
        rows = ((items["caption"] == request.text.strip()).to_numpy() & searched).nonzero()[0]
        return int(rows[0]) if len(rows) == 1 else None
    if request.kind == "image" and request.item and request.view in ("auto", "text", "both"):
        row = item_row(entry, request.item)
        return row if row is not None and searched[row] and items["caption"].iat[row] else None
    return None


def search(job: Job[Event], request: Request, upload: Image.Image | None) -> None:
    """Run one search in the worker: load what is not loaded, then pass the retriever's events on.

    Without the fine stage (weights missing, a folder that is no MLLM) the coarse one still answers, and a warning says why.
    """
    job.start("Loading torch and transformers", None)  # seconds, the first time
    from engine.retrieval.retriever import Retriever

    job.finish()
    entry = _entry(request.corpus)
    assert entry.corpus is not None  # _entry refuses others
    image = upload
    if request.item:
        row = item_row(entry, request.item)
        if row is None:
            raise InputError(f"{entry.corpus.name} has no item {request.item[:80]!r}.")
        image = entry.corpus.load(row)
    query = request.query(image, answer_of(entry, request))
    collection = _collection(request.corpus, DEMO).get(job)
    split = gallery(entry, request.split)
    reader, scorer = _scorer(mllm()), None
    if not reader.ready:  # the pool can be looked at while the model is being loaded
        job.finish()
        for event in Retriever(collection, None).search(query, request.options(split), job.cancelled):
            if isinstance(event, (Started, PoolReady)):
                job.emit(event)
    try:
        scorer = reader.get(job)
    except AtomscopeError as error:
        job.warn(f"Only the coarse stage answers. {error}")
    job.finish()
    if scorer is not None and request.enhance != "off" and scorer.enhancement_fault:
        job.warn(f"Searched without visual enhancement. {scorer.enhancement_fault}")
        request = replace(request, enhance="off")
    for event in Retriever(collection, scorer).search(query, request.options(split), job.cancelled):
        job.emit(event)
