"""How good a search is: recall of the coarse stage, of the fine stage and with visual enhancement, on the same queries."""

from __future__ import annotations

from engine.retrieval.evaluation.benchmark import BenchmarkOptions, benchmark
from engine.retrieval.evaluation.loaders import load_pairs
from engine.retrieval.evaluation.pairs import PairSet, from_corpus
from engine.retrieval.evaluation.run import BenchmarkFiles, benchmark_files
from engine.retrieval.evaluation.sugarcrepe import benchmark_sugarcrepe, is_sugarcrepe

__all__ = [
    "BenchmarkFiles",
    "BenchmarkOptions",
    "PairSet",
    "benchmark",
    "benchmark_files",
    "benchmark_sugarcrepe",
    "from_corpus",
    "is_sugarcrepe",
    "load_pairs",
]
