"""From names to a retriever: the corpus, its vectors, and what reads the candidates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.corpus import open_corpus
from engine.paths import DEMO_CORPUS
from engine.progress import Progress, SilentProgress
from engine.retrieval.coarse.collection import Backend, Collection, open_collection
from engine.retrieval.coarse.embedders import load_embedder
from engine.retrieval.fine.loading import load_scorer
from engine.retrieval.search.retriever import Retriever


@dataclass(frozen=True, kw_only=True)
class SearchedCorpus:
    """What is searched, by which embedder.

    Attributes
    ----------
    path : Path
        Whatever ``open_corpus`` opens.
    captions : Path or None
        CSV, JSONL or Parquet file with captions.
    embedder : str
        See ``load_embedder``.
    split : str
        Only items of this split; "" all.
    index : str
        "exact", or "lance" for collections that outgrow memory.
    """

    path: Path = DEMO_CORPUS
    captions: Path | None = None
    embedder: str = "demo"
    split: str = ""
    index: Backend = "exact"

    def open(self, device: str = "auto", progress: Progress | None = None) -> Collection:
        """Embed what is not embedded yet, and open the collection.

        Raises
        ------
        InputError, AtomscopeError
            As ``open_corpus``, ``load_embedder`` and ``open_collection`` do, and for a split that is not there.
        """
        progress = progress or SilentProgress()
        corpus = open_corpus(self.path, self.captions)
        collection = open_collection(corpus, load_embedder(self.embedder, device, progress), progress, self.index)
        collection.rows(self.split)
        for warning in collection.warnings:
            progress.warn(warning)
        return collection


def open_retriever(
    searched: SearchedCorpus,
    mllm: str = "demo",
    reranker: str = "",
    device: str = "auto",
    progress: Progress | None = None,
) -> Retriever:
    """Open the collection, then load what reads its candidates; see ``load_scorer``.

    Raises
    ------
    InputError, AtomscopeError
        As ``SearchedCorpus.open`` and ``load_scorer`` do. Whatever is wrong with the collection is said before a large
        model is loaded.
    """
    collection = searched.open(device, progress)
    return Retriever(collection, load_scorer(mllm, reranker, device, progress))
