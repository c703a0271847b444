"""The map of atoms: the fallback plane, the clusters, and the process that runs UMAP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.atlas.build import layout
from engine.atlas.build.clusters import find_clusters
from engine.atlas.build.nearest import nearest_directions
from engine.atlas.build.planes import NEIGHBOURS, PARAMETERS, pca_plane
from engine.progress import SilentProgress


def prepare(folder: Path, directions: np.ndarray) -> None:
    """What the builder leaves for the layout process."""
    index, cosine, _ = nearest_directions(torch.from_numpy(directions), NEIGHBOURS, SilentProgress())
    folder.mkdir(exist_ok=True)
    for name, array in (("directions", directions), ("knn_index", index), ("knn_cosine", cosine)):
        np.save(folder / f"{name}.npy", array)


def blobs(count: int, each: int, spread: float, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Directions around ``count`` centres, and the centre each belongs to."""
    rng = np.random.default_rng(0)
    member = np.repeat(np.arange(count), each)
    return (rng.normal(size=(count, d))[member] + spread * rng.normal(size=(len(member), d))).astype(np.float32), member


def test_the_pca_plane_keeps_the_two_widest_axes() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 2)) @ np.linalg.qr(rng.normal(size=(8, 8)))[0][:2]
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    plane = pca_plane(unit.astype(np.float32))
    gaps = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    assert np.linalg.norm(plane[:, None] - plane[None], axis=2) == pytest.approx(gaps, abs=1e-5)
    assert np.array_equal(plane, pca_plane(unit.astype(np.float32)))


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (2, 4), (5, 1)])
def test_the_pca_plane_of_next_to_nothing(shape: tuple[int, int]) -> None:
    assert pca_plane(np.ones(shape, np.float32)).shape == (shape[0], 2)


def test_clusters_are_found_and_numbered_from_the_largest() -> None:
    rng = np.random.default_rng(0)
    sizes = [200, 120, 90, 80, 70, 60, 50, 40, 40, 40]
    centres = 20 * np.stack([np.arange(10) % 4, np.arange(10) // 4], axis=1)
    member = np.repeat(np.arange(10), sizes)
    cluster = find_clusters((centres[member] + rng.normal(size=(len(member), 2))).astype(np.float32))
    assert np.array_equal(np.sort(np.bincount(cluster[cluster >= 0]))[::-1], np.bincount(cluster[cluster >= 0]))
    assert (cluster >= 0).mean() > 0.9
    for c in range(cluster.max() + 1):
        assert len(set(member[cluster == c])) == 1, "a cluster joins points that lie far apart"


def test_too_few_points_have_no_clusters() -> None:
    assert (find_clusters(np.zeros((10, 2), np.float32)) == -1).all()


def test_points_without_structure_do_not_break_it() -> None:
    assert find_clusters(np.zeros((100, 2), np.float32)).shape == (100,)


def test_a_process_that_fails_leaves_the_pca_plane_and_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directions, _ = blobs(4, 30, 0.2)
    prepare(tmp_path / "work", directions)
    monkeypatch.setattr(layout.sys, "executable", "/bin/false")
    progress = SilentProgress()
    document = layout.run_layout(tmp_path / "work", 0, progress)
    assert document["method"] == "pca"
    assert "UMAP failed" in progress.warnings[0]
    assert np.array_equal(np.load(tmp_path / "work" / "place.npy"), pca_plane(directions))


def test_the_process_is_that_of_this_engine_wherever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directions, _ = blobs(2, 10, 0.2)  # too few for UMAP: the process itself gives the PCA plane
    prepare(tmp_path / "work", directions)
    for name in ("engine.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit('this is not the engine')")
    monkeypatch.chdir(tmp_path)
    progress = SilentProgress()
    document = layout.run_layout(Path("work"), 3, progress)
    assert document == {"method": "pca", "parameters": {}, "seed": 3}
    assert progress.warnings == [], "the process did not run"
    assert np.array_equal(np.load(tmp_path / "work" / "place.npy"), pca_plane(directions))


@pytest.mark.slow
def test_umap_runs_in_its_own_process_and_repeats_itself(tmp_path: Path) -> None:
    directions, member = blobs(5, 40, 0.25)
    places = []
    for name in ("one", "two"):
        prepare(tmp_path / name, directions)
        document = layout.run_layout(tmp_path / name, 7, SilentProgress())
        assert document == {"method": "umap", "parameters": PARAMETERS, "seed": 7}
        places.append(np.load(tmp_path / name / "place.npy"))
    assert np.array_equal(*places)
    centres = np.stack([places[0][member == c].mean(axis=0) for c in range(5)])
    nearest = np.linalg.norm(places[0][:, None] - centres[None], axis=2).argmin(axis=1)
    assert (nearest == member).mean() > 0.95, "atoms of one centre lie together"
