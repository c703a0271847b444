"""``load_scorer``: from names to what reads the pool."""

from __future__ import annotations

from engine.progress import Progress
from engine.retrieval.fine.scorer import Scorer

NO_MODEL = "none"


def load_scorer(mllm: str, reranker: str = "", device: str = "auto", progress: Progress | None = None) -> Scorer | None:
    """Load the reranker where one is named, else the multimodal model; None for the coarse stage alone.

    Parameters
    ----------
    mllm : str
        "demo", a hub id or a folder of a multimodal model; "none" for no model.
    reranker : str
        Hub id or folder of a trained reranker (CrossEncoder), "" for none.

    Raises
    ------
    InputError
        If there is no such model, or it cannot read a pool.
    AtomscopeError
        If the hub or the package index cannot be reached, or an optional library is missing.
    """
    if reranker:
        from engine.retrieval.fine.reranker import load_reranker

        return load_reranker(reranker, device, progress)
    if mllm == NO_MODEL:
        return None
    from engine.retrieval.fine.mllm_scorer import FineScorer
    from engine.retrieval.fine.model import load_mllm

    return FineScorer(load_mllm(mllm, device, progress), progress=progress)
