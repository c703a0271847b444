"""The models the process has open: loaded once for all sessions by whoever asks first, always in the worker thread.

Few are kept: the one that was asked for longest ago goes first. A collection hangs on its corpus and goes with it.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from engine.derived import derived
from engine.errors import AtomscopeError
from engine.files import Stamp, stamp
from engine.paths import cache_dir
from engine.progress import Progress

if TYPE_CHECKING:
    from engine.atlas import Atlas
    from engine.corpus import Corpus
    from engine.inspection.encoding import Encoder
    from engine.retrieval.coarse.collection import Collection
    from engine.retrieval.coarse.embedders import Embedder
    from engine.retrieval.fine.mllm_scorer import FineScorer
    from engine.sae import SparseAutoencoder

T = TypeVar("T")

# How `atomscope serve --mllm` tells the server process which model reads the candidates.
VARIABLE = "ATOMSCOPE_MLLM"
DEMO = "demo"
DEMO_NOTE = "A small demo model trained for this demo; use a real multimodal model for real work."
WEIGHTS = "atomscope demo weights"

_DEMO_PARTS = {"coarse": ("clip-vit-b16", "minilm-l6-v2"), "fine": ("clip-vit-b16", "smollm2-135m")}


class LoadedOnce(Generic[T]):
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
                # Streamlit collects all garbage after every run: over the objects of torch and a model that stay, this
                # would cost more than the run. What went since the last time is collected now.
                gc.unfreeze()
                gc.collect()
                gc.freeze()
            return self._value


def mllm() -> str:
    """The model that reads the candidates: a folder, a hub id, or "demo"."""
    return os.environ.get(VARIABLE) or DEMO


def mllm_title() -> str:
    """The model's name as the page shows it."""
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


@lru_cache(maxsize=2)
def embedder(name: str = DEMO) -> LoadedOnce[Embedder]:
    """The encoders of the coarse stage."""

    def make(progress: Progress) -> Embedder:
        _refuse_missing("coarse")
        progress.start("Loading the coarse stage's encoders", None)
        from engine.retrieval.coarse.embedders import load_embedder

        return load_embedder(name, progress=progress)

    return LoadedOnce(make)


@derived(most=2)
def collection(corpus: Corpus, name: str = DEMO) -> LoadedOnce[Collection]:
    """A corpus with its vectors by the embedder of this name."""

    def make(progress: Progress) -> Collection:
        from engine.retrieval.coarse.collection import open_collection

        return open_collection(corpus, embedder(name).get(progress), progress)

    return LoadedOnce(make)


def scorer() -> LoadedOnce[FineScorer]:
    """The model that reads the candidates; a folder whose ``config.json`` was rewritten is loaded again."""
    return _scorer(mllm(), stamp(Path(mllm()) / "config.json"))


@lru_cache(maxsize=1)
def _scorer(name: str, config: Stamp | None) -> LoadedOnce[FineScorer]:
    def make(progress: Progress) -> FineScorer:
        if name == DEMO:
            _refuse_missing("fine")
        progress.start(f"Loading {mllm_title()}", None)
        from engine.retrieval.fine.mllm_scorer import FineScorer
        from engine.retrieval.fine.model import load_mllm

        return FineScorer(load_mllm(name, progress=progress), progress=progress)

    return LoadedOnce(make)


@lru_cache(maxsize=2)
def encoder(atlas: Atlas) -> LoadedOnce[Encoder]:
    """Backbone and SAE of an atlas, to see the concepts in a picture. A rebuilt atlas is another object, with another encoder."""

    def make(progress: Progress) -> Encoder:
        from engine.inspection.encoding import Encoder

        name = str(atlas.meta["backbone"]["name"])
        if name in _DEMO_PARTS["coarse"]:
            _refuse_missing("coarse")
        progress.start(f"Loading {name} and the SAE", None)
        return Encoder.of(atlas, progress)

    return LoadedOnce(make)


def sae(folder: Path) -> SparseAutoencoder:
    """The SAE saved in ``folder``, loaded once for all sessions, and again when its files have changed."""
    return _sae(folder, tuple(stamp(folder / name) for name in ("config.json", "weights.safetensors")))


@lru_cache(maxsize=8)
def _sae(folder: Path, stamps: tuple[Stamp | None, ...]) -> SparseAutoencoder:
    from engine.sae import load_sae

    return load_sae(folder)
