"""A synthetic atlas: valid, plausible and quick, at any size. For tests and for measuring pages, never for a result.

Atoms fire on contiguous patches of items that show one coloured shape (``synthetic_codes``). What the tables say is worked
out from these codes by the engine's own accumulators and statistics; only the map, the clusters, the threshold of each
token, the entrants and the training curve are drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.atlas.build.accumulators import RESERVOIR, Accumulators, ItemBatch
from engine.atlas.build.exemplars import BAND_SIZE, BANDS, choose_exemplars
from engine.atlas.build.pass_plan import label_ids
from engine.atlas.build.statistics import AtomStatistics, measure_atoms, share_of_labels
from engine.atlas.format.meta import header, write_meta
from engine.atlas.format.schema import ATOMS_PER_GROUP, ENTRANTS_KEPT, THUMBS_PER_GROUP, arrow_schema
from engine.atlas.format.status import status_counts
from engine.atlas.format.tables import make_table, string_lists, write_grouped, write_plain
from engine.atlas.format.writer import write_codes, write_entrants, write_exemplars, write_histograms, write_items
from engine.atlas.grouping import segments
from engine.files import atomic_path, read_json
from tests.synthetic_codes import (
    COLOURS,
    GRID,
    GROUNDS,
    LABELS,
    POSITIONS,
    PREFIX,
    SHAPES,
    THUMB,
    WIDTH,
    Codes,
    Items,
    draw_clusters,
    draw_codes,
    draw_directions,
    draw_embeddings,
    draw_items,
    draw_places,
    picture,
)

TOP_N = 24
SAMPLED = 24
NEIGHBOURS = 10
SPLITS = ("train", "train", "train", "validation", "test")


def write_synthetic_atlas(path: Path | str, n_atoms: int = 4096, n_items: int = 400, seed: int = 0) -> Path:
    """Write a valid synthetic atlas to ``path`` (replaced if it exists) and return the path.

    Parameters
    ----------
    n_atoms, n_items : int
        Sizes, at least 8 and 4.
    seed : int
        The same arguments give the same tables.
    """
    rng = np.random.default_rng(seed)
    items = draw_items(rng, n_items)
    cluster, homes = draw_clusters(rng, n_atoms)
    codes = draw_codes(rng, n_atoms, items.label, homes)
    embeddings = draw_embeddings(rng, items.label)
    table = _items(items)
    labels = table["label"].tolist()
    ids, names = label_ids(labels, n_atoms)
    edges = np.concatenate([[0.0], np.geomspace(0.02, 12.0, 48)])
    acc = Accumulators(n_atoms, len(names), embeddings.shape[1], edges, TOP_N)
    acc.add(ItemBatch(codes.crow, codes.col, codes.val, 0, POSITIONS, ids, embeddings))
    exemplars = choose_exemplars(acc)
    measured = measure_atoms(acc, exemplars, labels, embeddings, n_items * POSITIONS)
    support = np.diff(codes.crow).reshape(n_items, POSITIONS)
    cluster = np.where(acc.counts.firing == 0, -1, cluster).astype(np.int32)

    target = Path(path)
    with atomic_path(target) as folder:
        folder.mkdir()
        write_exemplars(folder, exemplars, n_atoms)
        write_histograms(folder, acc.counts.histogram)
        write_items(
            folder, table, support.astype(np.uint16), rng.normal(0.4, 0.05, (n_items, POSITIONS)).astype(np.float32)
        )
        _write_atom_table(folder, "labels.parquet", vars(share_of_labels(acc, names)), n_atoms)
        sampled = _write_sample(folder, rng, codes, n_atoms, n_items)
        directions = draw_directions(rng, cluster)
        _write_sae(folder, directions)
        _write_atom_table(folder, "neighbours.parquet", _neighbours(directions, cluster, sampled), n_atoms)
        _write_atoms(folder, rng, measured, cluster, homes)
        _write_training(folder, float(support.mean()))
        _write_thumbs(folder, rng, items)
        _write_header(folder, table, measured.status, edges, float(support.mean()), seed, len(sampled.crow) - 1)
    return target


def _items(items: Items) -> pd.DataFrame:
    """The items as an activation store has them."""
    n_items, grounds = len(items.label), list(GROUNDS)
    names = [LABELS[k] for k in items.label]
    return pd.DataFrame(
        {
            "id": [f"shapes/{i:06d}" for i in range(n_items)],
            "kind": "image",
            "split": [SPLITS[i % len(SPLITS)] for i in range(n_items)],
            "label": names,
            "caption": [f"A {name} on a {grounds[g]} ground." for name, g in zip(names, items.ground, strict=True)],
            "source": "synthetic",
            "license": "CC0-1.0",
            "credit": "",
            "width": np.full(n_items, 224),
            "height": np.full(n_items, 224),
            "corpus_index": np.arange(n_items),
        }
    )


def _write_atom_table(folder: Path, name: str, columns: dict[str, Any], n_atoms: int) -> None:
    write_grouped(folder / name, make_table(name, columns), "atom", n_atoms, ATOMS_PER_GROUP)


def _write_sample(folder: Path, rng: np.random.Generator, codes: Codes, n_atoms: int, n_items: int) -> Codes:
    """``codes/`` of a few items, and drawn entrants for each of their tokens; returns the codes of the sample."""
    items = np.sort(rng.choice(n_items, min(SAMPLED, n_items), replace=False)).astype(np.int32)
    tokens = (items[:, None] * POSITIONS + np.arange(POSITIONS)).reshape(-1)
    source, crow = segments(codes.crow[tokens], np.diff(codes.crow)[tokens])
    sample = Codes(crow, codes.col[source], codes.val[source])
    write_codes(folder, items, sample.crow, sample.col, sample.val, n_atoms)

    outside = []
    for token in range(len(tokens)):
        draw = np.unique(rng.integers(n_atoms, size=3 * ENTRANTS_KEPT))
        draw = draw[~np.isin(draw, sample.col[crow[token] : crow[token + 1]])]
        outside.append(rng.permutation(draw)[:ENTRANTS_KEPT].astype(np.int32))
    sizes = [len(atoms) for atoms in outside]
    write_entrants(
        folder,
        np.repeat(np.arange(len(tokens), dtype=np.int32), sizes),
        np.concatenate([np.arange(size, dtype=np.int16) for size in sizes]),
        np.concatenate(outside),
        np.concatenate([np.sort(rng.exponential(0.01, size)) for size in sizes]).astype(np.float32),
        len(tokens),
    )
    return sample


def _write_sae(folder: Path, directions: NDArray[np.float32]) -> None:
    """A sparsemax SAE with these atoms and unit maps."""
    import torch

    from engine.sae import SparsemaxConfig, build_sae, save_sae

    sae = build_sae(SparsemaxConfig(d_model=WIDTH, n_atoms=len(directions)), 0)
    weights = {"atoms": torch.from_numpy(directions), "w_key": torch.eye(WIDTH), "w_value": torch.eye(WIDTH)}
    sae.load_state_dict(weights, strict=False)
    save_sae(sae, folder / "sae")


def _neighbours(directions: NDArray[np.float32], cluster: NDArray[np.int32], sampled: Codes) -> dict[str, Any]:
    """Nearest live atoms by direction, inside each cluster (clusters lie far apart), and by firing on the sample's tokens."""
    import torch

    from engine.atlas.build.nearest import Nearest, nearest_directions, nearest_firing
    from engine.atlas.build.neighbours import merge
    from engine.progress import SilentProgress

    live = np.flatnonzero(cluster >= 0)
    sizes = np.bincount(cluster[live])
    home = np.where(sizes > NEIGHBOURS, np.arange(len(sizes)), sizes.argmax())[
        cluster[live]
    ]  # small ones join the largest
    width = min(NEIGHBOURS, len(live) - 1)
    index, cosine = np.zeros((len(live), width), np.int32), np.zeros((len(live), width), np.float32)
    for c in np.unique(home):
        members = np.flatnonzero(home == c)
        near, cosine[members], _ = nearest_directions(
            torch.from_numpy(directions[live[members]]), width, SilentProgress()
        )
        index[members] = members[near]
    together = nearest_firing(sampled.crow, sampled.col, len(cluster), NEIGHBOURS)
    decoder = Nearest(index, cosine, np.full(len(live), width, np.int32))
    return vars(merge(live, decoder, together, NEIGHBOURS))


def _write_atoms(
    folder: Path,
    rng: np.random.Generator,
    measured: AtomStatistics,
    cluster: NDArray[np.int32],
    homes: NDArray[np.int64],
) -> None:
    """``atoms.parquet`` and ``clusters.parquet``: measured columns, a drawn map; atoms are named after their top label."""
    place = draw_places(rng, cluster)
    place[cluster < 0] = np.nan
    columns = vars(measured) | {
        "x": place[:, 0],
        "y": place[:, 1],
        "cluster": cluster,
        "label": measured.top_label,
        "label_candidates": string_lists([name.split() for name in measured.top_label]),
    }
    write_plain(folder / "atoms.parquet", make_table("atoms.parquet", columns))
    middle = np.stack([place[cluster == c].mean(axis=0) for c in range(len(homes))])
    clusters = {
        "cluster": np.arange(len(homes)),
        "label": [LABELS[home] for home in homes],
        "keywords": string_lists([LABELS[home].split() for home in homes]),
        "size": np.bincount(cluster[cluster >= 0], minlength=len(homes)),
        "x": middle[:, 0],
        "y": middle[:, 1],
    }
    write_plain(folder / "clusters.parquet", make_table("clusters.parquet", clusters))


def _write_training(folder: Path, l0: float) -> None:
    step = np.arange(20, 2001, 20)
    decay = np.exp(-step / 400)
    columns = {
        "step": step,
        "tokens": step * 4096,
        "loss": 0.08 + 0.9 * decay,
        "nmse": 0.12 + 0.88 * decay,
        "l0": l0 * (1 + 3 * decay),
        "dead": 0.08 * (1 - decay),
        "lr": 4e-4 * np.minimum(step / 500, 1.0),
        "tokens_per_second": np.full(len(step), 20_000.0),
        "validation_nmse": np.where(step % 200 == 0, 0.13 + 0.88 * decay, np.nan),
    }
    pq.write_table(pa.table(columns), folder / "training.parquet")


def _write_thumbs(folder: Path, rng: np.random.Generator, items: Items) -> None:
    (folder / "thumbs").mkdir()
    kinds = [list(COLOURS), list(SHAPES), list(GROUNDS)]
    shown = zip(items.colour, items.shape, items.ground, strict=True)
    pictures = [picture(rng, *(names[k] for names, k in zip(kinds, places, strict=True))) for places in shown]
    table = pa.table({"item": np.arange(len(pictures), dtype=np.int32), "webp": pictures}, arrow_schema("thumbs"))
    path = folder / "thumbs" / "thumbs-00000.parquet"
    pq.write_table(table, path, row_group_size=THUMBS_PER_GROUP, compression="none")


def _write_header(
    folder: Path,
    items: pd.DataFrame,
    status: NDArray[Any],
    edges: NDArray[np.float64],
    l0: float,
    seed: int,
    coactivation_tokens: int,
) -> None:
    n_atoms, n_items, n_labels = len(status), len(items), items["label"].nunique()
    tokens = n_items * POSITIONS
    sizes = {"atoms": n_atoms, "items": n_items, "positions": POSITIONS, "tokens": tokens, "skipped_items": 0}
    counted = {"labels": n_labels, "labels_counted": n_labels, "coactivation_tokens": coactivation_tokens}
    backbone = {
        "name": "synthetic",
        "revision": "",
        "architecture": "none",
        "layer": -2,
        "layer_index": 10,
        "site": "residual",
        "tokens": "all",
        "d_model": WIDTH,
        "n_layers": 12,
        "grid": [GRID, GRID],
        "prefix": PREFIX,
        "image_size": [224, 224],
        "preprocessing": {},
        "dtype": "float32",
        "note": "Generated pictures and drawn numbers: no model was run.",
    }
    splits = items["split"].value_counts().to_dict()
    meta = {
        **header(),
        "title": f"Synthetic shapes, {n_atoms:,} atoms",
        "counts": {**sizes, **status_counts(status), **counted},
        "backbone": backbone,
        "corpus": {"name": "synthetic shapes", "hash": f"{seed:064x}", "items": n_items, "splits": splits},
        "activations": {"hash": f"{seed:064x}", "dtype": "float32", "tokens": tokens},
        "sae": read_json(folder / "sae" / "config.json"),
        "exemplars": {"top_n": TOP_N, "bands": BANDS, "band_size": BAND_SIZE, "sample": RESERVOIR},
        "histogram_edges": edges.tolist(),
        "measured": {"test": {"fvu": 0.12, "explained_variance": 0.88, "l0_mean": l0}},
        "layout": {"method": "umap", "parameters": {}, "seed": seed},
        "thumbs": {"kind": "shards", "size": THUMB},
    }
    write_meta(folder, meta)
