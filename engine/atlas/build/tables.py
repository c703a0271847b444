"""Stage 9, the tables: everything that was found, written as the format says."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.atlas.build.layout import AtomMap
from engine.atlas.build.naming.scores import RankedNames
from engine.atlas.build.naming.stage import AtlasNames
from engine.atlas.build.neighbours import Neighbours
from engine.atlas.build.sample import ItemSample
from engine.atlas.build.statistics import AtomStatistics, LabelShares
from engine.atlas.build.token_pass import PassResult
from engine.atlas.format.schema import ATOMS_PER_GROUP
from engine.atlas.format.tables import make_table, string_lists, write_grouped, write_plain
from engine.atlas.format.texts import write_tokens
from engine.atlas.format.writer import (
    Exemplars,
    write_codes,
    write_entrants,
    write_exemplars,
    write_histograms,
    write_items,
)

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.progress import Progress


def write_measured(
    folder: Path,
    exemplars: Exemplars,
    passed: PassResult,
    labels: LabelShares,
    neighbours: Neighbours,
    progress: Progress,
) -> None:
    """Write the four tables that are cut by atoms: exemplars, histograms, labels and neighbours."""
    histogram = passed.accumulators.counts.histogram
    n_atoms = len(histogram)
    write_exemplars(folder, exemplars, n_atoms)
    write_histograms(folder, histogram)
    for name, rows in (("labels", labels), ("neighbours", neighbours)):
        table = make_table(f"{name}.parquet", _columns(rows))
        write_grouped(folder / f"{name}.parquet", table, "atom", n_atoms, ATOMS_PER_GROUP)
    progress.advance(4)


def write_tokens_and_items(
    folder: Path, store: ActivationStore, sample: ItemSample, passed: PassResult, n_atoms: int, progress: Progress
) -> None:
    """Write what has tokens or items for rows: ``codes/``, the entrants, the items, and the tokens of texts."""
    codes, entrants = sample.codes, sample.entrants
    write_codes(folder, sample.items, codes.crow, codes.col, codes.val, n_atoms)
    write_entrants(folder, entrants.token, entrants.rank, entrants.atom, entrants.gap, len(codes.sizes))
    write_items(folder, store.items, passed.support, passed.tau)
    if store.token_ids is not None:
        write_tokens(folder, store)
    progress.advance(3)


def write_atoms_and_clusters(
    folder: Path, statistics: AtomStatistics, names: AtlasNames, atom_map: AtomMap, progress: Progress
) -> None:
    """Write ``atoms.parquet`` and ``clusters.parquet``: places on the map and names join the measured columns."""
    place, cluster = atom_map.place, atom_map.cluster
    columns = _columns(statistics) | {
        "x": place[:, 0],
        "y": place[:, 1],
        "cluster": cluster,
        "label": names.atoms.label,
        "label_candidates": string_lists(names.atoms.candidates),
    }
    write_plain(folder / "atoms.parquet", make_table("atoms.parquet", columns))
    write_plain(folder / "clusters.parquet", make_table("clusters.parquet", _clusters(names.clusters, atom_map)))
    progress.advance(2)


def _clusters(names: RankedNames, atom_map: AtomMap) -> dict[str, Any]:
    """Columns of ``clusters.parquet``: a cluster lies at the mean of its atoms."""
    place, cluster, count = atom_map.place, atom_map.cluster, len(names.label)
    centres = [place[cluster == c].mean(axis=0, dtype=np.float64) for c in range(count)]
    middle = np.array(centres, np.float32).reshape(-1, 2)
    return {
        "cluster": np.arange(count),
        "label": names.label,
        "keywords": string_lists(names.candidates),
        "size": np.bincount(cluster[cluster >= 0], minlength=count),
        "x": middle[:, 0],
        "y": middle[:, 1],
    }


def _columns(rows: Any) -> dict[str, Any]:
    """The fields of a stage's result by name: they are called as the columns of its table."""
    return {entry.name: getattr(rows, entry.name) for entry in fields(rows)}
