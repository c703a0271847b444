"""Reading a collection's pictures ahead: live searches then find the vision tower's work done.

Four fifths of the time of a fresh search go into pictures the model has not seen. What the tower makes of a picture depends
on the picture alone, so it can be done before anybody asks, and kept on disk.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import AtomscopeError, InputError
from engine.progress import Progress, SilentProgress
from engine.retrieval.coarse.collection import Collection
from engine.retrieval.fine.candidates import CandidateView
from engine.retrieval.fine.mllm_scorer import FineScorer
from engine.retrieval.fine.model import load_mllm
from engine.retrieval.fine.picture_store import PictureStore
from engine.retrieval.search.events import PoolEntry
from engine.retrieval.search.opening import SearchedCorpus
from engine.retrieval.search.retriever import Retriever

BATCH = 8
"""Pictures read by the vision tower at a time."""


@dataclass(frozen=True)
class PreparationResult:
    """What ``prepare`` did.

    Attributes
    ----------
    read, kept, failed : int
        Pictures read now, pictures that were there already, and pictures that cannot be read.
    bytes : int
        What the pictures read now take on disk.
    """

    read: int
    kept: int
    failed: int
    bytes: int


def prepare_corpus(
    searched: SearchedCorpus, mllm: str = "demo", device: str = "auto", progress: Progress | None = None
) -> tuple[PreparationResult, Collection]:
    """Embed a corpus, read its pictures with the multimodal model ``mllm``, and keep both; see ``prepare``.

    Raises
    ------
    InputError, AtomscopeError
        As ``SearchedCorpus.open``, ``load_mllm`` and ``prepare`` do.
    """
    collection = searched.open(device, progress)
    rows = collection.rows(searched.split)
    return prepare(
        collection, FineScorer(load_mllm(mllm, device, progress), progress=progress), rows, progress
    ), collection


def prepare(
    collection: Collection, scorer: FineScorer, rows: NDArray[np.int64], progress: Progress | None = None
) -> PreparationResult:
    """Read the pictures of ``rows`` and keep what the vision tower makes of them; a stopped run goes on where it was.

    Pictures that cannot be read are reported and left out.

    Raises
    ------
    InputError
        If the model's architecture does not take a vision output back.
    AtomscopeError
        If handing one back raised an exception, or if the disk has no room for all of them.
    """
    progress, store = progress or SilentProgress(), scorer.store
    if store is None:
        error = AtomscopeError if scorer.broken else InputError
        raise error(f"{' '.join(scorer.limits)} There is nothing to prepare for it.")
    retriever = Retriever(collection, scorer)
    pictured = [int(row) for row in rows if collection.has_image(int(row))]
    views = {row: retriever.candidate(PoolEntry(row, collection.id(row), 1, 0.0), "image") for row in pictured}
    waiting = [row for row in pictured if f"item:{views[row].key}" not in store]
    done, failed, taken = 0, 0, 0
    progress.start("Reading pictures ahead", len(pictured), "pictures")
    progress.advance(len(pictured) - len(waiting))
    for start in range(0, len(waiting), BATCH):
        chosen: list[CandidateView] = [views[row] for row in waiting[start : start + BATCH]]
        pictures, faults = scorer.look(chosen)
        for fault in faults.values():
            progress.warn(f"{fault} Skipped.")
        taken += sum(store.put(picture) for picture in pictures)
        done, failed = done + len(pictures), failed + len(faults)
        progress.advance(len(chosen))
        if done:
            _refuse_to_fill_the_disk(store, taken / done * (len(waiting) - start - len(chosen)))
    progress.finish()
    return PreparationResult(done, len(pictured) - len(waiting), failed, taken)


def _refuse_to_fill_the_disk(store: PictureStore, needed: float) -> None:
    free = shutil.disk_usage(store.folder).free
    if needed > free:
        raise AtomscopeError(
            f"The pictures still to be read would take {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: free some "
            "space, set ATOMSCOPE_CACHE to another disk, or prepare one --split. What was read is kept."
        )
