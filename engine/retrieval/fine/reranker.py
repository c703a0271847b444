"""Trained rerankers on the same pool, through sentence-transformers' ``CrossEncoder``: training-free beside trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from engine.backbones import checkpoints
from engine.backbones.quiet import quiet
from engine.device import pick_device
from engine.errors import InputError
from engine.progress import Progress, SilentProgress
from engine.retrieval.fine.candidates import CandidateView, contents
from engine.retrieval.fine.prompts import Content
from engine.retrieval.fine.scorer import PoolScorer, Scored, ScorerQuery
from engine.retrieval.search.events import FineRecord, Mode
from engine.retrieval.search.query import SearchOptions
from engine.retrieval.search.ranking import Prior

MODE: Mode = "reranker"


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
    with quiet():
        source = checkpoints.find_checkpoint(name, progress or SilentProgress())
        config = checkpoints.load_config(source)
        with checkpoints.checkpoint_errors(source):
            model = CrossEncoder(source.location, device=str(target), local_files_only=source.offline)
    if model.num_labels != 1:
        raise InputError(
            f"{name} gives {model.num_labels} values a pair and a reranker gives one: name a model trained to rank pairs."
        )
    identity = {
        "name": name,
        "revision": checkpoints.revision_of(source),
        "architecture": f"CrossEncoder ({config.model_type})",
        "note": source.note,
        "dtype": str(getattr(model, "dtype", "")).removeprefix("torch."),
        "device": str(target),
    }
    return Reranker(model, identity)


class Reranker(PoolScorer[tuple[Any, Any]]):
    """Scores candidates with a trained CrossEncoder; see ``Scorer`` for what it tells of itself."""

    default_mode = MODE
    prior = Prior()  # a reranker has no mode "posterior"
    enhancement_fault = "Visual enhancement belongs to the training-free score; a trained reranker is read as it is."

    def __init__(self, model: Any, identity: dict[str, Any]) -> None:
        super().__init__()
        self.identity = identity
        self._model = model
        self.pictures = 2 if "image" in model.modalities else 0

    def _mode(self, options: SearchOptions) -> Mode:
        if options.enhancement is not None:
            raise InputError(self.enhancement_fault)
        return MODE

    def _scored(
        self, _search: ScorerQuery, views: Sequence[CandidateView], tasks: Sequence[tuple[Any, Any]]
    ) -> Sequence[Scored]:
        values = self._model.predict(list(tasks), batch_size=len(tasks), show_progress_bar=False)
        return [(FineRecord(view.entry, float(value), MODE), None) for view, value in zip(views, values, strict=True)]

    def _task(self, search: ScorerQuery, view: CandidateView) -> tuple[Any, Any]:
        asked, seen = contents(search.query, view, search.options.view, self.pictures > 0)
        if (asked.picture or seen.picture) and not self.pictures:
            whose = "the query is a picture" if asked.picture else "the candidates are pictures"
            raise InputError(f"{self.identity['name']} reads texts only, and {whose}; use a multimodal reranker.")
        image = view.image() if seen.picture and view.image else None
        return _element(asked, search.query.image), _element(seen, image)


def _element(side: Content, image: Image.Image | None) -> Any:
    """One side of a pair as a CrossEncoder takes it: a text, a picture, or both."""
    if image is None:
        return side.text
    return {"image": image, "text": side.text} if side.text else image
