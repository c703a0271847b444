"""Stage 5, the map of atoms, worked out in a process of its own: ``python -m engine.atlas.build.layout FOLDER``.

umap-learn compiles for a minute of CPU in every process that calls it, so it never runs where somebody waits for a page.
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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.atlas.build.clusters import find_clusters
from engine.atlas.build.planes import PARAMETERS, pca_plane, umap_plane
from engine.atlas.format.tables import save_array
from engine.files import read_json, write_json
from engine.paths import ROOT

if TYPE_CHECKING:
    from engine.progress import Progress

FEWEST_FOR_UMAP = 60


@dataclass(frozen=True)
class AtomMap:
    """Where every atom lies.

    Attributes
    ----------
    recipe : dict or None
        ``layout`` of ``atlas.json``: method, parameters and seed; None when there is no map.
    place : float32 [M, 2]
        Coordinates, without unit; NaN for atoms that never fire.
    cluster : int32 [M]
        Cluster of every atom, -1 for none; numbered from the largest.
    """

    recipe: dict[str, Any] | None
    place: NDArray[np.float32]
    cluster: NDArray[np.int32]


def lay_out(
    live: NDArray[np.int64], n_atoms: int, wanted: bool, folder: Path, seed: int, progress: Progress
) -> AtomMap:
    """The map of the atoms ``live``, whose directions lie in ``folder``; no map when it is not ``wanted`` or none fires."""
    place = np.full((n_atoms, 2), np.nan, np.float32)
    cluster = np.full(n_atoms, -1, np.int32)
    if not wanted or len(live) == 0:
        return AtomMap(None, place, cluster)
    recipe = run_layout(folder, seed, progress)
    place[live] = np.load(folder / "place.npy")
    cluster[live] = np.load(folder / "cluster.npy")
    return AtomMap(recipe, place, cluster)


def run_layout(folder: Path, seed: int, progress: Progress) -> dict[str, Any]:
    """Run the layout process on ``folder`` unless it is already done; returns ``layout`` of ``atlas.json``.

    A process that fails or dies leaves the PCA plane and a warning: a map is better than none.
    """
    if not (folder / "layout.json").is_file():
        progress.start("map of atoms (UMAP)", None, "epochs")
        command = [sys.executable, "-m", "engine.atlas.build.layout", str(folder.resolve()), "--seed", str(seed)]
        done, total = 0, None
        # What the process says goes to a file: a pipe nobody reads fills up and stops it.
        with (folder / "layout.log").open("w+") as log:
            # From the folder that holds this engine: an engine.py where somebody works is not taken for it.
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)
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
