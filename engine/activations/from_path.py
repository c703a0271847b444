"""``extract_path``: from a path and the name of a model to a store, in one process or in each of torchrun's."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from engine.activations.extraction import extract
from engine.activations.store import ActivationStore
from engine.backbones import Backbone, BackboneSpec, LanguageBackbone, load_backbone
from engine.corpus import open_corpus
from engine.distributed import joined
from engine.progress import Progress, SilentProgress

DEFAULT_MODEL = {"image": "clip-vit-b16", "text": "smollm2-135m"}


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions:
    """The corpus, the model and the form of the store of one extraction.

    Attributes
    ----------
    corpus : Path
        Whatever ``open_corpus`` opens.
    modality : "image" or "text"
        Whether its pictures are read by a vision model or its texts by a language model.
    captions : Path or None
        CSV, JSONL or Parquet file with captions of a folder of pictures.
    model : str or None
        See ``load_backbone``; None: the embedded one of the modality.
    layer, site, tokens, context
        See ``load_backbone``.
    dtype, batch_size, limit
        See ``engine.activations.extract``.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    corpus: Path
    modality: Literal["image", "text"] = "image"
    captions: Path | None = None
    model: str | None = None
    layer: int = -2
    site: str = "residual"
    tokens: str | None = None
    context: int | None = None
    dtype: str = "float32"
    batch_size: int | None = None
    limit: int | None = None
    device: str = "auto"


@dataclass(frozen=True)
class LoadedModel:
    """The loaded model of an extraction: its identity, its device and the number of processes."""

    spec: BackboneSpec
    device: torch.device
    processes: int


@dataclass(frozen=True)
class Extraction:
    """A finished store and the cost of making it.

    Attributes
    ----------
    store : ActivationStore
    noun : str
        What an item is: "images" or "chunks".
    bytes : int
        Size of the shards on disk.
    skipped : int
        Items that could not be read.
    seconds : float
        Wall time, without loading the model.
    peak_memory : int
        Largest resident size of this process so far, in bytes.
    """

    store: ActivationStore
    noun: str
    bytes: int
    skipped: int
    seconds: float
    peak_memory: int


def extract_path(
    options: ExtractionOptions,
    out: Path,
    progress: Progress | None = None,
    on_model: Callable[[LoadedModel], None] | None = None,
) -> Extraction | None:
    """Open the corpus, load the model, and store one layer's activations at ``out``; under torchrun this process's part.

    Parameters
    ----------
    on_model : callable, optional
        Told about the model once it is loaded, before the first picture or text is read.

    Returns
    -------
    Extraction or None
        None in every process of torchrun's but the first.

    Raises
    ------
    InputError, AtomscopeError
        As ``open_corpus``, ``load_backbone`` and ``engine.activations.extract`` do.
    """
    with joined() as group:
        progress = group.progress(progress or SilentProgress())
        corpus = open_corpus(options.corpus, options.captions)
        for warning in corpus.warnings:
            progress.warn(warning)
        backbone = _load(options, group.device(options.device), progress)
        if group.first and on_model is not None:
            on_model(LoadedModel(backbone.spec, backbone.device, group.size))
        began = time.monotonic()
        store = extract(backbone, corpus, out, options.dtype, options.batch_size, options.limit, progress, group)
        if not group.first:
            return None
        size = sum(shard["bytes"] for shard in store.manifest["shards"])
        skipped = len(store.manifest["skipped"])
        return Extraction(store, backbone.noun, size, skipped, time.monotonic() - began, _peak_memory())


def _load(options: ExtractionOptions, device: str, progress: Progress) -> Backbone | LanguageBackbone:
    name = options.model or DEFAULT_MODEL[options.modality]
    given = (name, options.layer, options.site, options.tokens, device, progress)
    if options.modality == "text":
        return load_backbone(*given, modality="text", context=options.context)
    return load_backbone(*given)


def _peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes
