"""The map of atoms, in a process of its own: ``python -m engine.atlas.build.layout FOLDER``.

umap-learn compiles for a minute of CPU in every process that calls it, so that it never runs where someone waits for a page.
The recipe: exact neighbours come precomputed, dead atoms are left out, the start is the PCA plane, and a fixed seed makes
the map repeatable. Where UMAP cannot run, or the atoms are too few for it, the PCA plane itself is the map.

FOLDER holds ``directions.npy`` float32 [n, d], ``knn_index.npy`` int32 [n, k] and ``knn_cosine.npy`` float32 [n, k]; the process
adds ``place.npy`` float32 [n, 2], ``cluster.npy`` int32 [n] and ``layout.json``, the last one last.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.atlas.format.tables import save_array
from engine.files import read_json, write_json

if TYPE_CHECKING:
    from engine.progress import Progress

NEIGHBOURS = 15
FEWEST_FOR_UMAP = 60
FEWEST_FOR_CLUSTERS = 40
PARAMETERS = {"n_neighbors": NEIGHBOURS, "min_dist": 0.1, "metric": "cosine", "init": "pca"}


def run_layout(folder: Path, seed: int, progress: Progress) -> dict[str, Any]:
    """Run the layout process on ``folder`` unless it is already done; returns ``layout`` of ``atlas.json``.

    A process that fails or dies leaves the PCA plane and a warning: a map is better than none.
    """
    if not (folder / "layout.json").is_file():
        progress.start("map of atoms (UMAP)", None, "epochs")
        command = [sys.executable, "-m", "engine.atlas.build.layout", str(folder), "--seed", str(seed)]
        done, total = 0, None
        # What the process says goes to a file: a pipe nobody reads fills up and stops it.
        with (folder / "layout.log").open("w+") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            assert process.stdout is not None
            for line in process.stdout:
                epoch, of = (int(part) for part in line.split())
                if total is None:
                    total = of
                    progress.start("map of atoms (UMAP)", total, "epochs")
                progress.advance(epoch - done)
                done = epoch
            process.wait()
            log.seek(0)
            words = log.read().strip().splitlines()
        if process.returncode or not (folder / "layout.json").is_file():
            reason = words[-1] if words else f"exit status {process.returncode}"
            progress.warn(f"UMAP failed ({reason}); the map shows the two main axes of the atoms (PCA).")
            _finish(folder, pca_plane(np.load(folder / "directions.npy")), "pca", {}, seed)
        progress.finish()
    document: dict[str, Any] = read_json(folder / "layout.json")
    return document


def pca_plane(directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coordinates [n, 2] of unit rows on their two main axes; signs fixed so that the same rows give the same plane."""
    if len(directions) < 2:
        return np.zeros((len(directions), 2), np.float32)
    unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    centred = (unit - unit.mean(axis=0)).astype(np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    plane = np.zeros((len(directions), 2), np.float32)
    plane[:, : axes.shape[1]] = centred @ axes
    return plane


def umap_plane(
    directions: NDArray[np.float32], index: NDArray[np.int32], cosine: NDArray[np.float32], seed: int, report: Any
) -> NDArray[np.float32]:
    """UMAP coordinates [n, 2] from exact neighbours (McInnes, Healy and Melville, arXiv 1802.03426)."""
    from umap import UMAP

    n = len(directions)
    unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    # umap counts a point among its own neighbours.
    k = min(NEIGHBOURS, index.shape[1] + 1)
    neighbours = np.concatenate([np.arange(n, dtype=np.int32)[:, None], index[:, : k - 1]], axis=1)
    distances = np.concatenate([np.zeros((n, 1), np.float32), 1.0 - cosine[:, : k - 1]], axis=1)
    reducer = UMAP(
        **{**PARAMETERS, "n_neighbors": k},
        precomputed_knn=(neighbours, np.maximum(distances, 0)),
        random_state=seed,
        verbose=True,
        tqdm_kwds={"file": report, "disable": False, "mininterval": 0.5},
    )
    return np.asarray(reducer.fit_transform(unit), np.float32)


def find_clusters(place: NDArray[np.float32]) -> NDArray[np.int32]:
    """Clusters of the map, -1 for none; numbered from the largest.

    HDBSCAN (Campello, Moulavi and Sander, 2013) on the plane, with the smallest cluster size, from a ladder, whose number
    of clusters comes nearest to sqrt(n) / 1.4, at least 5 and at most 80: about 45 for 4,000 atoms. Atoms of the thin regions
    between join the cluster of their nearest clustered atom when that is nearer than most clustered atoms' neighbours are.
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import NearestNeighbors

    n = len(place)
    if n < FEWEST_FOR_CLUSTERS:
        return np.full(n, -1, np.int32)
    wanted = np.clip(np.sqrt(n) / 1.4, 5, 80)
    best: tuple[float, NDArray[Any]] | None = None
    for share in (1 / 400, 1 / 200, 1 / 100, 1 / 50) if n < 20_000 else (1 / 400, 1 / 200):
        size = max(round(share * n), 5)
        found = HDBSCAN(min_cluster_size=size, min_samples=5, cluster_selection_method="leaf", copy=True).fit(place)
        labels = found.labels_
        distance = abs(np.log((labels.max() + 1.5) / wanted))
        if best is None or distance < best[0]:
            best = (distance, labels)
    assert best is not None
    labels = best[1].copy()
    inside = np.flatnonzero(labels >= 0)
    if len(inside) == 0:
        return np.full(n, -1, np.int32)
    finder = NearestNeighbors(n_neighbors=min(6, len(inside))).fit(place[inside])
    reach = np.quantile(finder.kneighbors(place[inside])[0][:, -1], 0.99)
    outside = np.flatnonzero(labels < 0)
    if len(outside):
        distances, nearest = finder.kneighbors(place[outside], n_neighbors=1)
        joins = distances[:, 0] <= 3 * reach
        labels[outside[joins]] = labels[inside[nearest[joins, 0]]]
    sizes = np.bincount(labels[labels >= 0])
    order = np.empty(len(sizes), np.int32)
    order[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.where(labels >= 0, order[labels], -1).astype(np.int32)


class _Epochs:
    """A file for tqdm to write its bar to: epochs come out as lines of two numbers."""

    def write(self, text: str) -> int:
        """Pass on ``epoch total`` of the bar, if ``text`` shows one."""
        if match := re.search(r"(\d+)/(\d+) \[", text):
            sys.__stdout__.write(f"{match[1]} {match[2]}\n")  # type: ignore[union-attr]
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Let the parent see the lines."""
        sys.__stdout__.flush()  # type: ignore[union-attr]


def _finish(folder: Path, place: NDArray[np.float32], method: str, parameters: dict[str, Any], seed: int) -> None:
    save_array(folder / "place.npy", place)
    save_array(folder / "cluster.npy", find_clusters(place))
    write_json(folder / "layout.json", {"method": method, "parameters": parameters, "seed": seed})


def main() -> None:
    """Entry point of the layout process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    sys.stdout = sys.stderr  # what umap prints is not for the parent
    directions, index, cosine = (np.load(folder / f"{n}.npy") for n in ("directions", "knn_index", "knn_cosine"))
    if len(directions) < FEWEST_FOR_UMAP:
        _finish(folder, pca_plane(directions), "pca", {}, arguments.seed)
        return
    place = umap_plane(directions, index, cosine, arguments.seed, _Epochs())
    if not np.isfinite(place).all():
        raise SystemExit("it gave coordinates that are not numbers")
    _finish(folder, place, "umap", PARAMETERS, arguments.seed)


if __name__ == "__main__":
    main()
