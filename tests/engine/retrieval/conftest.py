"""Tiny multimodal models, loaded once, and pictures for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from PIL import Image

    from engine.retrieval.fine.mllm_scorer import CandidateView, FineScorer
    from engine.retrieval.fine.model import Mllm


@pytest.fixture(scope="session")
def loaded(tiny_mllm: Callable[[str], str]) -> Callable[[str], Mllm]:
    """``loaded(kind)``: the tiny model of that architecture, loaded once for all tests."""
    from engine.retrieval.fine.model import load_mllm

    return cache(lambda kind: load_mllm(tiny_mllm(kind), "cpu"))


@pytest.fixture
def scorer(loaded: Callable[[str], Mllm]) -> Callable[..., FineScorer]:
    """``scorer(kind, **options)``: a fresh fine scorer with empty caches on a tiny model."""
    from engine.retrieval.fine.mllm_scorer import FineScorer

    return lambda kind="llava", **options: FineScorer(loaded(kind), **options)


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Six small pictures of different content and shape."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(3)
    sizes = [(40, 32), (32, 32), (48, 30), (32, 32), (36, 36), (30, 60)]
    return [Image.fromarray(random.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


@pytest.fixture
def views(pictures: list[Image.Image]) -> Callable[..., list[CandidateView]]:
    """``views(n)``: the first ``n`` pictures with captions, as candidates of a pool."""
    from engine.retrieval.fine.mllm_scorer import CandidateView
    from engine.retrieval.search.events import PoolEntry

    captions = [
        "a red square",
        "a blue circle and a table",
        "Caption",
        "the picture in one sentence",
        "9 True",
        "a digit",
    ]

    def views(count: int = 5, key: str = "picture") -> list[CandidateView]:
        return [
            CandidateView(
                PoolEntry(item, f"item-{item}", item + 1, 0.9 - 0.1 * item),
                f"{key}-{item}",
                lambda item=item: pictures[item],  # type: ignore[misc]
                captions[item],
            )
            for item in range(count)
        ]

    return views
