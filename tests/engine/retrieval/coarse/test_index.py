"""Both indexes against the definition: cosines by a full product, the best first, ties by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.backbones.vectors import unit
from engine.retrieval.coarse import index as index_module
from engine.retrieval.coarse.index import ExactIndex, Index, top

N, D = 700, 24


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    values = unit(np.random.default_rng(0).normal(size=(N, D)).astype(np.float32))
    values[[50, 300, 699]] = values[7]  # the same picture four times
    values[11] = 0  # an item without a vector
    return values


@pytest.fixture(params=["exact", "exact, small blocks", "lance"])
def index(request: pytest.FixtureRequest, vectors: np.ndarray, tmp_path: Path, monkeypatch) -> Index:
    if request.param == "lance":
        pytest.importorskip("lancedb", reason="LanceDB (190 MB installed) is an optional extra: pip install '.[lance]'")
        from engine.retrieval.coarse.index_lance import LanceIndex

        LanceIndex.build(tmp_path / "lance", "image", vectors)
        return LanceIndex.build(tmp_path / "lance", "image", vectors)  # the second time it is opened
    if "small" in request.param:
        monkeypatch.setattr(index_module, "BLOCK_BYTES", 4 * D * 64)
    np.save(tmp_path / "image.npy", vectors)
    return ExactIndex.open(tmp_path / "image.npy")


def wanted(vectors: np.ndarray, query: np.ndarray, k: int, rows: np.ndarray) -> tuple[list[int], np.ndarray]:
    scores = np.round(vectors[rows].astype(np.float64) @ query.astype(np.float64), 6)
    order = np.lexsort((rows, -scores))[:k]
    return rows[order].tolist(), scores[order]


@pytest.mark.parametrize("k", [1, 5, N, N + 9])
def test_best_rows_by_the_definition(index: Index, vectors: np.ndarray, k: int) -> None:
    query = unit(np.random.default_rng(1).normal(size=(1, D)).astype(np.float32))[0]
    rows, scores = index.search(query, k)
    expected, cosines = wanted(vectors, query, k, np.arange(N))
    np.testing.assert_allclose(scores, cosines, atol=2e-6)
    assert (len(index), index.width, len(rows)) == (N, D, min(k, N))
    assert sorted(rows.tolist()) == sorted(expected) and (np.diff(scores) <= 0).all()
    np.testing.assert_allclose(index.scores(query), vectors @ query, atol=2e-6)


def test_ties_go_by_row(index: Index, vectors: np.ndarray) -> None:
    rows, scores = index.search(vectors[7], 4)
    assert rows.tolist() == [7, 50, 300, 699] and len(set(scores.tolist())) == 1
    assert index.search(vectors[7], 2)[0].tolist() == [7, 50]


def test_only_the_rows_that_are_asked_for(index: Index, vectors: np.ndarray) -> None:
    chosen = np.arange(1, N, 3)
    rows, scores = index.search(vectors[8], 10, chosen)
    expected, cosines = wanted(vectors, vectors[8], 10, chosen)
    assert rows.tolist() == expected
    np.testing.assert_allclose(scores, cosines, atol=2e-6)
    np.testing.assert_allclose(index.scores(vectors[8], chosen), vectors[chosen] @ vectors[8], atol=2e-6)
    assert index.search(vectors[8], 5, np.array([9]))[0].tolist() == [9]


def test_many_queries_at_once_are_each_query_alone(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "BLOCK_BYTES", 4 * D * 100)
    exact = ExactIndex(vectors)
    rows, scores = exact.search_many(vectors[:9], 6)
    for number, query in enumerate(vectors[:9]):
        alone, cosines = exact.search(query, 6)
        assert rows[number].tolist() == alone.tolist()
        np.testing.assert_allclose(scores[number], cosines, atol=2e-6)


def test_top_keeps_the_first_of_equals() -> None:
    scores = np.array([1, 3, 3, 2, 3], np.float32)
    assert top(scores, 2).tolist() == [1, 2] and top(scores, 9).tolist() == [1, 2, 4, 3, 0]
