"""A synthetic atlas: valid, plausible and quick, at any size. For tests, for measuring pages, never for a result.

Atoms fire on contiguous patches of items that show one coloured shape; frequencies follow a power law, some atoms are dead and
a few are dense. All tables are computed from one synthetic set of codes, so they agree with each other as in a real atlas.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix

from engine.atlas.build.grouping import place_among_equals, place_in_group
from engine.atlas.format.schema import (
    ATOMS_PER_GROUP,
    ENTRANTS_KEPT,
    HEAT_KEPT,
    LABELS_KEPT,
    THUMBS_PER_GROUP,
    arrow_schema,
)
from engine.atlas.format.tables import lists, make_table, string_lists, write_grouped, write_plain
from engine.atlas.format.writer import (
    Exemplars,
    header,
    status_counts,
    statuses,
    write_codes,
    write_entrants,
    write_exemplars,
    write_histograms,
    write_meta,
)
from engine.files import atomic_path, read_json, sha256, write_json

GRID = 14
PREFIX = 1
POSITIONS = PREFIX + GRID * GRID
WIDTH = 16  # d_model: small, so that a 49,152-atom atlas stays a few megabytes
TOP_N = 24
BANDS = 4
BAND_SIZE = 3
SAMPLED = 24
THUMB = 112
NEIGHBOURS = 10

_COLOURS = {
    "red": "#d1495b",
    "blue": "#3066be",
    "green": "#2e933c",
    "yellow": "#f2c14e",
    "purple": "#7d5ba6",
}
_SHAPES = ("circle", "square", "triangle", "ring")
_GROUNDS = {"white": "#f7f7f2", "grey": "#b8b8aa", "navy": "#1d2f4f", "sand": "#e6d5b8"}


@dataclass
class _Codes:
    """All codes, sorted by (atom, token); ``pair`` arrays hold one entry for each (atom, item) that fires."""

    atom: NDArray[np.int32]
    token: NDArray[np.int64]
    val: NDArray[np.float32]
    start: NDArray[np.int64]  # first code of each pair, and the end as a last element
    pair_atom: NDArray[np.int32]
    pair_item: NDArray[np.int32]
    pair_value: NDArray[np.float32]
    pair_position: NDArray[np.int16]


def write_synthetic_atlas(path: Path | str, n_atoms: int = 4096, n_items: int = 400, seed: int = 0) -> Path:
    """Write a valid synthetic atlas to ``path`` (replaced if it exists) and return the path.

    Parameters
    ----------
    n_atoms, n_items : int
        Sizes, at least 8 and 4.
    seed : int
        The same arguments give the same tables.
    """
    if n_atoms < 8 or n_items < 4:
        raise ValueError("a synthetic atlas needs at least 8 atoms and 4 items")
    rng = np.random.default_rng(seed)
    target = Path(path)
    with atomic_path(target) as folder:
        folder.mkdir()
        colour = rng.integers(len(_COLOURS), size=n_items)
        shape = rng.integers(len(_SHAPES), size=n_items)
        ground = rng.integers(len(_GROUNDS), size=n_items)
        label = colour * len(_SHAPES) + shape
        cluster, home = _clusters(rng, n_atoms)
        codes = _fire(rng, n_atoms, n_items, label, home)
        embeddings = _embeddings(rng, label)
        edges = np.concatenate([[0.0], np.geomspace(0.02, 12.0, 48)])

        support = np.bincount(codes.token, minlength=n_items * POSITIONS).reshape(n_items, POSITIONS)
        tau = rng.normal(0.4, 0.05, (n_items, POSITIONS)).astype(np.float32)
        names = [f"{c} {s}" for c in _COLOURS for s in _SHAPES]
        exemplars = _exemplars(rng, codes, edges, n_atoms)
        write_exemplars(folder, exemplars, n_atoms)
        counts = _histograms(codes, edges, n_atoms)
        write_histograms(folder, counts)
        _write_items(folder, names, label, ground, support, tau)
        _write_labels(folder, codes, label, names, n_atoms)
        sample = np.sort(rng.choice(n_items, min(SAMPLED, n_items), replace=False)).astype(np.int32)
        crow, col, val = _sample_codes(codes, sample)
        write_codes(folder, sample, crow, col, val, n_atoms)
        _write_entrants(folder, rng, crow, col, n_atoms)
        directions = _write_sae(folder, rng, cluster, n_atoms)
        dead = np.bincount(codes.atom, minlength=n_atoms) == 0
        _write_neighbours(folder, rng, directions, np.where(dead, -1, cluster), n_atoms)
        status = _write_atoms(
            folder,
            rng,
            codes,
            exemplars,
            embeddings,
            label,
            names,
            cluster,
            home,
            n_atoms,
            n_items,
        )
        _write_training(folder, float(support.mean()))
        _write_thumbs(folder, rng, colour, shape, ground)
        _write_header(folder, n_atoms, n_items, status, edges, float(support.mean()), seed, len(np.unique(label)))
    return target


def _clusters(rng: np.random.Generator, n_atoms: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Cluster of every atom [M], and the home label of every cluster."""
    count = int(np.clip(n_atoms // 150, 3, 40))
    weights = rng.dirichlet(np.full(count, 4.0))
    cluster = np.concatenate([np.arange(count), rng.choice(count, max(n_atoms - count, 0), p=weights)])[:n_atoms]
    rng.shuffle(cluster)
    return cluster.astype(np.int32), rng.integers(len(_COLOURS) * len(_SHAPES), size=count)


def _fire(
    rng: np.random.Generator,
    n_atoms: int,
    n_items: int,
    label: NDArray[np.int64],
    home_of_cluster: NDArray[np.int64],
) -> _Codes:
    """Draw the codes: which items, which block of patches, how strongly."""
    rank = rng.permutation(n_atoms)
    count = np.minimum(0.8 * n_items / (1 + rank) ** 0.7 + rng.integers(2, 36, n_atoms), n_items).astype(np.int64)
    dead = rng.random(n_atoms) < 0.08
    dead[:4] = False
    dense = rank < max(n_atoms // 4096, 1)
    count[dead] = 0
    count[dense] = n_items
    dead &= ~dense

    # Items sorted by label: a run of them that starts near the home label is mostly of that label, and never repeats one.
    by_label = np.argsort(label, kind="stable")
    home = home_of_cluster[rng.integers(len(home_of_cluster), size=n_atoms)]
    first = np.searchsorted(label[by_label], home) + rng.integers(0, 6, n_atoms)
    pair_atom = np.repeat(np.arange(n_atoms), count)
    step = np.arange(len(pair_atom)) - np.repeat(np.cumsum(count) - count, count)
    pair_item = by_label[(np.repeat(first, count) + step) % n_items]

    # A block of patches; one atom in twelve fires on the CLS token only, dense ones nearly everywhere.
    n_pairs = len(pair_atom)
    high = rng.integers(1, 4, n_pairs)
    wide = rng.integers(1, 4, n_pairs)
    everywhere = dense[pair_atom]
    high[everywhere] = wide[everywhere] = GRID
    cls = (rng.random(n_atoms) < 1 / 12)[pair_atom] & ~everywhere
    high[cls] = wide[cls] = 1
    top = (rng.random(n_pairs) * (GRID - high + 1)).astype(np.int64)
    left = (rng.random(n_pairs) * (GRID - wide + 1)).astype(np.int64)
    strength = (rng.gamma(2.0, 0.25, n_pairs) + 0.05) * rng.lognormal(0, 0.4, n_atoms)[pair_atom]

    size = high * wide
    pair = np.repeat(np.arange(n_pairs), size)
    cell = np.arange(len(pair)) - np.repeat(np.cumsum(size) - size, size)
    row, column = cell // wide[pair], cell % wide[pair]
    position = PREFIX + (top[pair] + row) * GRID + left[pair] + column
    position[cls[pair]] = 0
    val = (strength[pair] * rng.uniform(0.35, 1.0, len(pair))).astype(np.float32)
    atom = pair_atom[pair].astype(np.int32)
    token = pair_item[pair] * POSITIONS + position

    order = np.argsort(atom * np.int64(n_items * POSITIONS) + token)
    atom, token, val = atom[order], token[order], val[order]
    item = (token // POSITIONS).astype(np.int32)
    new = np.flatnonzero(np.diff(atom, prepend=-1) | np.diff(item, prepend=-1))
    start = np.append(new, len(atom))
    value = np.maximum.reduceat(val, new)
    is_top = np.where(val == np.repeat(value, np.diff(start)), np.arange(len(val)), len(val))
    position_of_top = (token[np.minimum.reduceat(is_top, new)] % POSITIONS).astype(np.int16)
    return _Codes(atom, token, val, start, atom[new], item[new], value, position_of_top)


def _embeddings(rng: np.random.Generator, label: NDArray[np.int64]) -> NDArray[np.float32]:
    """Unit rows [n, 32], near each other for items of one label."""
    centres = rng.normal(size=(label.max() + 1, 32))
    points = centres[label] + 0.5 * rng.normal(size=(len(label), 32))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def _exemplars(rng: np.random.Generator, codes: _Codes, edges: NDArray[np.float64], n_atoms: int) -> Exemplars:
    order = np.lexsort((codes.pair_item, -codes.pair_value, codes.pair_atom))
    atom = codes.pair_atom[order]
    count = np.bincount(atom, minlength=n_atoms)
    place = place_in_group(atom)
    share = 1.0 - (place - place_among_equals(atom, codes.pair_value[order])) / count[atom]
    rest = place >= TOP_N
    # Lower bands hold equal shares of the remaining items; the first few of each stand for it.
    width = np.maximum((count[atom] - TOP_N + BANDS - 1) // BANDS, 1)
    inside = (place - TOP_N) % width
    chosen = ~rest | (inside < BAND_SIZE)
    rank = place_in_group(2 * atom[chosen] + rest[chosen])
    pairs = order[chosen]

    # The largest HEAT_KEPT codes of each pair, in ascending position.
    size = np.diff(codes.start)[pairs]
    offsets = np.concatenate([[0], np.cumsum(size)])
    row = np.repeat(np.arange(len(pairs)), size)
    source = codes.start[pairs][row] + np.arange(offsets[-1]) - offsets[row]
    values = codes.val[source]
    by_value = np.lexsort((source, -values, row))
    keep = np.zeros(len(source), bool)
    keep[by_value] = np.arange(len(source)) - offsets[row] < HEAT_KEPT
    kept_offsets = np.concatenate([[0], np.cumsum(np.minimum(size, HEAT_KEPT))])
    return Exemplars(
        atom=atom[chosen],
        kind=rest[chosen].astype(np.int8),
        rank=rank.astype(np.int16),
        item=codes.pair_item[pairs],
        position=codes.pair_position[pairs],
        value=codes.pair_value[pairs],
        quantile=share[chosen].astype(np.float32),
        heat_offsets=kept_offsets,
        heat_positions=(codes.token[source[keep]] % POSITIONS).astype(np.uint16),
        heat_values=values[keep],
    )


def _histograms(codes: _Codes, edges: NDArray[np.float64], n_atoms: int) -> NDArray[np.int64]:
    n_bins = len(edges) - 1
    bins = np.clip(np.searchsorted(edges, codes.val, side="right") - 1, 0, n_bins - 1)
    return np.bincount(codes.atom * n_bins + bins, minlength=n_atoms * n_bins).reshape(n_atoms, n_bins)


def _write_items(
    folder: Path,
    names: list[str],
    label: NDArray[np.int64],
    ground: NDArray[np.int64],
    support: NDArray[np.int64],
    tau: NDArray[np.float32],
) -> None:
    n_items = len(label)
    offsets = np.arange(n_items + 1) * POSITIONS
    grounds = list(_GROUNDS)
    columns = {
        "item": np.arange(n_items),
        "id": [f"shapes/{i:06d}" for i in range(n_items)],
        "kind": ["image"] * n_items,
        "split": [("train", "train", "train", "validation", "test")[i % 5] for i in range(n_items)],
        "label": [names[k] for k in label],
        "caption": [f"A {names[k]} on a {grounds[g]} ground." for k, g in zip(label, ground, strict=True)],
        "source": ["synthetic"] * n_items,
        "license": ["CC0-1.0"] * n_items,
        "credit": [""] * n_items,
        "width": np.full(n_items, 224),
        "height": np.full(n_items, 224),
        "corpus_index": np.arange(n_items),
        "support": lists(offsets, support.reshape(-1).astype(np.uint16), pa.uint16()),
        "tau": lists(offsets, tau.reshape(-1), pa.float32()),
        "support_mean": support.mean(axis=1).astype(np.float32),
    }
    write_plain(folder / "items.parquet", make_table("items.parquet", columns))


def _write_labels(
    folder: Path,
    codes: _Codes,
    label: NDArray[np.int64],
    names: list[str],
    n_atoms: int,
) -> None:
    pair_label = label[codes.pair_item]
    key = codes.pair_atom * np.int64(len(names)) + pair_label
    tokens = np.bincount(key, weights=np.diff(codes.start), minlength=n_atoms * len(names)).astype(np.int64)
    items = np.bincount(key, minlength=n_atoms * len(names))
    found = np.flatnonzero(tokens)
    atom, kind = found // len(names), found % len(names)
    alphabetical = np.argsort(np.argsort(names))
    order = np.lexsort((alphabetical[kind], -tokens[found], atom))
    found, atom, kind = found[order], atom[order], kind[order]
    count = np.bincount(atom, minlength=n_atoms)
    keep = np.arange(len(atom)) - (np.cumsum(count) - count)[atom] < LABELS_KEPT
    firing = np.bincount(codes.atom, minlength=n_atoms)
    columns = {
        "atom": atom[keep],
        "label": [names[k] for k in kind[keep]],
        "tokens": tokens[found][keep],
        "items": items[found][keep],
        "share": (tokens[found] / firing[atom])[keep].astype(np.float32),
    }
    table = make_table("labels.parquet", columns)
    write_grouped(folder / "labels.parquet", table, "atom", n_atoms, ATOMS_PER_GROUP)


def _sample_codes(
    codes: _Codes, sample: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    place = np.full(int(codes.token.max() // POSITIONS) + 1 + int(sample.max()), -1)
    place[sample] = np.arange(len(sample))
    row = place[codes.token // POSITIONS] * POSITIONS + codes.token % POSITIONS
    mine = np.flatnonzero(place[codes.token // POSITIONS] >= 0)
    mine = mine[np.lexsort((codes.atom[mine], row[mine]))]
    crow = np.zeros(len(sample) * POSITIONS + 1, np.int64)
    np.cumsum(np.bincount(row[mine], minlength=len(sample) * POSITIONS), out=crow[1:])
    return crow, codes.atom[mine], codes.val[mine]


def _write_entrants(
    folder: Path,
    rng: np.random.Generator,
    crow: NDArray[np.int64],
    col: NDArray[np.int32],
    n_atoms: int,
) -> None:
    n_tokens = len(crow) - 1
    tokens, ranks, atoms, gaps = [], [], [], []
    for token in range(n_tokens):
        draw = np.unique(rng.integers(n_atoms, size=3 * ENTRANTS_KEPT))
        outside = draw[~np.isin(draw, col[crow[token] : crow[token + 1]])]
        outside = rng.permutation(outside)[:ENTRANTS_KEPT]
        tokens.append(np.full(len(outside), token))
        ranks.append(np.arange(len(outside)))
        atoms.append(outside)
        gaps.append(np.sort(rng.exponential(0.01, len(outside))))
    write_entrants(
        folder,
        np.concatenate(tokens).astype(np.int32),
        np.concatenate(ranks).astype(np.int16),
        np.concatenate(atoms).astype(np.int32),
        np.concatenate(gaps).astype(np.float32),
        n_tokens,
    )


def _write_sae(folder: Path, rng: np.random.Generator, cluster: NDArray[np.int32], n_atoms: int) -> NDArray[np.float32]:
    """A sparsemax SAE whose atoms lie around their cluster's centre; returns its decoder directions [M, d].

    Written as ``SparseAutoencoder.save`` writes it, without the seconds that importing torch takes.
    """
    centres = rng.normal(size=(cluster.max() + 1, WIDTH))
    atoms = (centres[cluster] + 0.45 * rng.normal(size=(n_atoms, WIDTH))).astype(np.float32)
    identity = np.eye(WIDTH, dtype=np.float32)
    sae = folder / "sae"
    sae.mkdir()
    save_file({"atoms": atoms, "w_key": identity, "w_value": identity}, sae / "weights.safetensors")
    weights = {"dtype": "float32", "sha256": sha256(sae / "weights.safetensors")}
    config = {"architecture": "sparsemax", "d_model": WIDTH, "n_atoms": n_atoms, "values": "score", "weights": weights}
    write_json(sae / "config.json", config)
    return atoms


def _write_neighbours(
    folder: Path,
    rng: np.random.Generator,
    directions: NDArray[np.float32],
    cluster: NDArray[np.int32],
    n_atoms: int,
) -> None:
    """Nearest atoms inside each cluster (clusters are far apart); co-activation is drawn, not measured."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    atom, other, similarity, kind = [], [], [], []
    for c in range(cluster.max() + 1):
        members = np.flatnonzero(cluster == c)
        k = min(NEIGHBOURS, len(members) - 1)
        if k < 1:
            continue
        cosine = unit[members] @ unit[members].T
        np.fill_diagonal(cosine, -np.inf)
        near = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        together = (np.arange(len(members))[:, None] + rng.permutation(len(members) - 1)[:k] + 1) % len(members)
        drawn = rng.beta(1.5, 5, (len(members), k))
        for number, (columns, values) in enumerate(((near, np.take_along_axis(cosine, near, 1)), (together, drawn))):
            atom.append(np.repeat(members, k))
            other.append(members[columns].reshape(-1))
            similarity.append(values.reshape(-1))
            kind.append(np.full(len(members) * k, number))
    flat = [np.concatenate(part) if part else np.zeros(0, np.int64) for part in (atom, kind, other, similarity)]
    order = np.lexsort((flat[2], -flat[3], flat[1], flat[0]))
    atoms, kinds, others, values = (part[order] for part in flat)
    group = atoms * 2 + kinds
    first = np.searchsorted(group, group)
    table_columns = {
        "atom": atoms,
        "kind": [("decoder", "coactivation")[k] for k in kinds],
        "rank": (np.arange(len(group)) - first).astype(np.int16),
        "other": others,
        "similarity": values.astype(np.float32),
    }
    table = make_table("neighbours.parquet", table_columns)
    write_grouped(folder / "neighbours.parquet", table, "atom", n_atoms, ATOMS_PER_GROUP)


def _write_atoms(
    folder: Path,
    rng: np.random.Generator,
    codes: _Codes,
    exemplars: Exemplars,
    embeddings: NDArray[np.float32],
    label: NDArray[np.int64],
    names: list[str],
    cluster: NDArray[np.int32],
    home: NDArray[np.int64],
    n_atoms: int,
    n_items: int,
) -> NDArray[Any]:
    """``atoms.parquet`` and ``clusters.parquet``; returns the status of every atom."""
    tokens = n_items * POSITIONS
    firing = np.bincount(codes.atom, minlength=n_atoms)
    dead = firing == 0
    maximum = np.full(n_atoms, -np.inf)
    np.maximum.at(maximum, codes.atom, codes.val)

    top = exemplars.kind == 0
    weight = csr_matrix(
        (exemplars.value[top], (exemplars.atom[top], label[exemplars.item[top]])),
        (n_atoms, len(names)),
    )
    by_label = weight.toarray()
    share = by_label / np.maximum(by_label.sum(axis=1, keepdims=True), 1e-9)
    entropy = (share * np.log2(np.where(share > 0, 1 / np.maximum(share, 1e-12), 1))).sum(axis=1)
    heaviest = share.argmax(axis=1)

    pairs = csr_matrix((codes.pair_value, (codes.pair_atom, codes.pair_item)), (n_atoms, n_items))
    total = np.asarray(pairs.sum(axis=1)).ravel()
    squares = np.asarray(pairs.multiply(pairs).sum(axis=1)).ravel()
    spread = (np.square(pairs @ embeddings).sum(axis=1) - squares) / np.where(total**2 > squares, total**2 - squares, 1)
    ones = csr_matrix(
        (np.ones(top.sum()), (exemplars.atom[top], exemplars.item[top])),
        (n_atoms, n_items),
    )
    n_top = np.asarray(ones.sum(axis=1)).ravel()
    cosine = (np.square(ones @ embeddings).sum(axis=1) - n_top) / np.maximum(n_top * (n_top - 1), 1)
    several = np.bincount(codes.pair_atom, minlength=n_atoms) > 1

    angle = rng.uniform(0, 2 * np.pi, cluster.max() + 1)
    radius = 10 * np.sqrt(rng.random(cluster.max() + 1))
    centre = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    place = (centre[cluster] + rng.normal(0, 0.7, (n_atoms, 2))).astype(np.float32)
    place[dead] = np.nan
    member = np.where(dead, -1, cluster)
    nan = np.float32(np.nan)
    named = np.where(dead, "", np.array(names)[heaviest])
    status = statuses(firing, tokens)
    columns: dict[str, Any] = {
        "atom": np.arange(n_atoms),
        "firing_count": firing,
        "item_count": np.bincount(codes.pair_atom, minlength=n_atoms),
        "frequency": (firing / tokens).astype(np.float32),
        "mean_activation": np.where(
            dead,
            nan,
            np.bincount(codes.atom, codes.val, n_atoms) / np.maximum(firing, 1),
        ),
        "max_activation": np.where(dead, nan, maximum),
        "status": status.tolist(),
        "label_entropy": np.where(dead, nan, entropy),
        "top_label": named.tolist(),
        "top_label_share": np.where(dead, nan, share.max(axis=1)),
        "monosemanticity": np.where(several, spread, nan),
        "diversity": np.where(several, 1 - cosine, nan),
        "x": place[:, 0],
        "y": place[:, 1],
        "cluster": member,
        "label": named.tolist(),
        "label_candidates": string_lists([str(name).split() for name in named]),
    }
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.dtype == np.float64:
            columns[name] = values.astype(np.float32)
    write_plain(folder / "atoms.parquet", make_table("atoms.parquet", columns))

    middle = np.stack([place[member == c].mean(axis=0) for c in range(cluster.max() + 1)])
    clusters = {
        "cluster": np.arange(cluster.max() + 1),
        "label": [names[h] for h in home],
        "keywords": string_lists([names[h].split() for h in home]),
        "size": np.bincount(member[member >= 0], minlength=cluster.max() + 1),
        "x": middle[:, 0],
        "y": middle[:, 1],
    }
    write_plain(folder / "clusters.parquet", make_table("clusters.parquet", clusters))
    return status


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


def _write_thumbs(
    folder: Path,
    rng: np.random.Generator,
    colour: NDArray[Any],
    shape: NDArray[Any],
    ground: NDArray[Any],
) -> None:
    (folder / "thumbs").mkdir()
    fills, grounds = list(_COLOURS.values()), list(_GROUNDS.values())
    pictures = []
    for c, s, g in zip(colour, shape, ground, strict=True):
        image = Image.new("RGB", (THUMB, THUMB), grounds[g])
        draw = ImageDraw.Draw(image)
        size = int(rng.integers(28, 72))
        x, y = (int(v) for v in rng.integers(4, THUMB - size - 4, 2))
        box = (x, y, x + size, y + size)
        match _SHAPES[s]:
            case "circle":
                draw.ellipse(box, fill=fills[c])
            case "square":
                draw.rectangle(box, fill=fills[c])
            case "triangle":
                draw.polygon(
                    [(x, y + size), (x + size, y + size), (x + size // 2, y)],
                    fill=fills[c],
                )
            case _:
                draw.ellipse(box, outline=fills[c], width=max(size // 6, 3))
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=70, method=0)
        pictures.append(buffer.getvalue())
    table = pa.table(
        {"item": np.arange(len(pictures), dtype=np.int32), "webp": pictures},
        arrow_schema("thumbs"),
    )
    pq.write_table(
        table,
        folder / "thumbs" / "thumbs-00000.parquet",
        row_group_size=THUMBS_PER_GROUP,
        compression="none",
    )


def _write_header(
    folder: Path,
    n_atoms: int,
    n_items: int,
    status: NDArray[Any],
    edges: NDArray[np.float64],
    l0: float,
    seed: int,
    n_labels: int,
) -> None:
    counts = {
        "atoms": n_atoms,
        "items": n_items,
        "positions": POSITIONS,
        "tokens": n_items * POSITIONS,
    }
    label_counts = {"labels": n_labels, "labels_counted": n_labels, "coactivation_tokens": 0}
    splits = {name: sum(i % 5 in places for i in range(n_items)) for name, places in _SPLITS.items()}
    meta = {
        **header(),
        "title": f"Synthetic shapes, {n_atoms:,} atoms",
        "counts": {**counts, **status_counts(status), "skipped_items": 0, **label_counts},
        "backbone": {
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
        },
        "corpus": {
            "name": "synthetic shapes",
            "hash": f"{seed:064x}",
            "items": n_items,
            "splits": splits,
        },
        "activations": {
            "hash": f"{seed:064x}",
            "dtype": "float32",
            "tokens": n_items * POSITIONS,
        },
        "sae": read_json(folder / "sae" / "config.json"),
        "exemplars": {"top_n": TOP_N, "bands": BANDS, "band_size": BAND_SIZE, "sample": n_items},
        "histogram_edges": edges.tolist(),
        "measured": {"test": {"fvu": 0.12, "explained_variance": 0.88, "l0_mean": l0}},
        "layout": {"method": "umap", "parameters": {}, "seed": seed},
        "thumbs": {"kind": "shards", "size": THUMB},
    }
    write_meta(folder, meta)


_SPLITS = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}
