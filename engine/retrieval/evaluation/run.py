"""``benchmark_files``: from a corpus or a benchmark's file and the names of models to the measured document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.files import without_nan
from engine.paths import DEMO_CORPUS
from engine.progress import Progress, SilentProgress
from engine.retrieval.coarse.embedders import load_embedder
from engine.retrieval.evaluation.benchmark import BenchmarkOptions, benchmark
from engine.retrieval.evaluation.loaders import load_pairs
from engine.retrieval.evaluation.sugarcrepe import benchmark_sugarcrepe, is_sugarcrepe
from engine.retrieval.fine.loading import load_scorer


@dataclass(frozen=True, kw_only=True)
class BenchmarkFiles:
    """What is searched in a benchmark, and by which models.

    Attributes
    ----------
    corpus : Path
        Any corpus with captions; a COCO, Karpathy or SugarCrepe JSON; a Flickr30k CSV.
    images : Path or None
        Where the pictures of a JSON or CSV lie.
    split : str or None
        The gallery: "" takes all; None the test split of a corpus that has one, and else all.
    embedder, mllm, reranker : str
        See ``load_embedder`` and ``load_scorer``.
    """

    corpus: Path = DEMO_CORPUS
    images: Path | None = None
    split: str | None = None
    embedder: str = "demo"
    mllm: str = "demo"
    reranker: str = ""


def benchmark_files(
    files: BenchmarkFiles, options: BenchmarkOptions, device: str = "auto", progress: Progress | None = None
) -> dict[str, Any]:
    """Load the pairs and the models, and measure. A run that was killed continues when it is started again.

    Returns
    -------
    dict, JSON-ready
        See ``benchmark``; of a SugarCrepe file see ``benchmark_sugarcrepe``. Numbers that are not finite are None.

    Raises
    ------
    InputError
        If the files or the models cannot be used, or do not go with the options.
    AtomscopeError
        If the hub or the package index cannot be reached.
    """
    progress = progress or SilentProgress()
    images = files.images
    sugarcrepe = is_sugarcrepe(files.corpus)
    if sugarcrepe and images is None:
        raise InputError("Name the folder of the SugarCrepe pictures (COCO val2017) with --images.")
    if files.reranker and (options.modes or options.enhancement):
        raise InputError("A trained reranker has one score of its own: leave out --modes and --enhancement.")
    pairs = None if sugarcrepe else load_pairs(files.corpus, images, files.split)
    embedder = load_embedder(files.embedder, device, progress)
    scorer = load_scorer(files.mllm, files.reranker, device, progress)
    if pairs is not None:
        for warning in pairs.corpus.warnings:
            progress.warn(warning)
        found = benchmark(pairs, embedder, scorer, options, progress)
    else:
        assert images is not None
        modes = options.modes or (scorer.default_mode if scorer is not None else "log-odds",)
        found = benchmark_sugarcrepe(files.corpus, images, embedder, scorer, modes, progress, options.queries)
    document: dict[str, Any] = without_nan(found)
    return document
