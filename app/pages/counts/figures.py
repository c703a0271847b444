"""The figures of the Activation counts page: support size per token, firing count per atom."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.derived import derived

if TYPE_CHECKING:
    from engine.atlas import Atlas

# How the inputs are picked: key in the URL -> what a person reads.
PICKS = {
    "most": "Most complex",
    "least": "Least complex",
    "random": "Random",
    "sampled": "With codes",
}

FIRING_BINS = 36
FEW = 3  # a class of fewer items (or atoms) has no distribution worth drawing


class SupportSummary(NamedTuple):
    """Support size over the patches of all items (over all positions when there are no patches)."""

    mean: float
    median: float
    low: float  # 5th percentile
    high: float  # 95th percentile
    largest: int
    single: float  # share of tokens with one atom
    cls: float | None  # mean over the first position, when it is no patch


class DistributionSummary(NamedTuple):
    """A distribution in six numbers, as :func:`app.ui.range_rows` draws it."""

    name: str
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    n: int


def patch_sizes(atlas: Atlas) -> NDArray[np.uint16]:
    """Support sizes without CLS and registers, [n_items, P - prefix]; all positions when nothing else is left."""
    sizes = atlas.support[:, atlas.prefix :]
    return sizes if sizes.shape[1] else atlas.support


@derived
def summary(atlas: Atlas) -> SupportSummary:
    """Headline figures of the support sizes."""
    sizes = patch_sizes(atlas)
    low, median, high = np.percentile(sizes, [5, 50, 95])
    cls = float(atlas.support[:, 0].mean()) if atlas.prefix else None
    single = float((sizes == 1).mean())
    return SupportSummary(float(sizes.mean()), float(median), float(low), float(high), int(sizes.max()), single, cls)


@derived
def size_histogram(atlas: Atlas, most: int = 60) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges [B + 1] and counts [B] of the support sizes of all patches, whole numbers per bin."""
    sizes = patch_sizes(atlas)
    top = int(sizes.max()) + 1
    width = max(1, -(-top // most))
    edges = np.arange(0, top + width, width)
    per_size = np.bincount(sizes.ravel(), minlength=int(edges[-1]))
    return edges, np.add.reduceat(per_size, edges[:-1])


@derived
def by_position(atlas: Atlas) -> NDArray[np.float64]:
    """Mean support size of every position, float64 [P]."""
    return atlas.support.mean(axis=0, dtype=np.float64)


@derived
def complexity(atlas: Atlas) -> NDArray[np.float64]:
    """Mean support size over the patches of every item, float64 [n_items]."""
    return patch_sizes(atlas).mean(axis=1, dtype=np.float64)


@derived
def by_class(atlas: Atlas, most: int = 16) -> list[DistributionSummary]:
    """Complexity of the items of each class, the classes with most items, highest median first."""
    return _spreads(atlas.items["label"].to_numpy(str), complexity(atlas), most)


@derived
def classes(atlas: Atlas) -> list[str]:
    """The labels of the items, by name."""
    return sorted(set(atlas.items["label"]) - {""})


@derived
def pick(atlas: Atlas, how: str, label: str = "") -> NDArray[np.int64]:
    """Items in the order of :data:`PICKS`, of one class when ``label`` is given."""
    if how == "sampled":
        chosen = np.asarray(atlas.sampled_items, np.int64)
    elif how == "random":
        # One fixed shuffle: a shared link shows the same pictures.
        chosen = np.random.default_rng(0).permutation(atlas.n_items)
    else:
        sign = -1 if how == "most" else 1
        chosen = np.argsort(sign * complexity(atlas), kind="stable")
    if label:
        chosen = chosen[(atlas.items["label"] == label).to_numpy()[chosen]]
    return chosen


def rank_of(atlas: Atlas, item: int) -> float:
    """Share of the items that are no more complex than this one, 0 to 1."""
    values = complexity(atlas)
    return float((values <= values[item]).mean())


class Firing(NamedTuple):
    """Firing counts of the atoms in bins that grow geometrically: edges [B + 1], atoms in each [B], and each atom's bin."""

    edges: NDArray[np.float64]
    atoms: NDArray[np.int64]
    bin: NDArray[np.int64]  # -1 for dead atoms


@derived
def firing(atlas: Atlas) -> Firing:
    """Histogram of log firing count over the atoms that fire."""
    counts = atlas.atoms["firing_count"].to_numpy(np.int64)
    alive = counts > 0
    if not alive.any():
        return Firing(np.array([1.0, 2.0]), np.zeros(1, np.int64), np.full(len(counts), -1))
    top = float(counts.max())
    edges = np.geomspace(1, max(top, 2) * 1.000001, FIRING_BINS + 1)
    # Below a few firings a bin would hold no whole number: start bins at whole numbers and drop the repeats.
    edges = np.unique(np.ceil(edges - 1e-9))
    edges[-1] = top + 1
    place = np.where(alive, np.searchsorted(edges, counts, side="right") - 1, -1)
    return Firing(edges, np.bincount(place[alive], minlength=len(edges) - 1), place)


@derived
def firing_by_class(atlas: Atlas, most: int = 16) -> list[DistributionSummary]:
    """log10 firing count of the live atoms, grouped by their top label; the labels that name most atoms."""
    table = atlas.atoms
    counts = table["firing_count"].to_numpy(float)
    alive = counts > 0
    return _spreads(table["top_label"].to_numpy(str)[alive], np.log10(counts[alive]), most)


def share_of_busiest(atlas: Atlas, share: float = 0.01) -> float:
    """The part of all firings that the busiest ``share`` of the atoms makes."""
    counts = np.sort(atlas.atoms["firing_count"].to_numpy(np.float64))[::-1]
    total = counts.sum()
    return float(counts[: max(1, round(share * len(counts)))].sum() / total) if total else 0.0


def _spreads(names: NDArray[np.str_], values: NDArray[np.float64], most: int) -> list[DistributionSummary]:
    groups = pd.Series(values).groupby(pd.Series(names))
    sizes = groups.size()
    kept = sizes[(sizes.index != "") & (sizes >= FEW)].nlargest(most).index
    rows = []
    for name in kept:
        members = groups.get_group(name).to_numpy()
        p5, p25, median, p75, p95 = np.percentile(members, [5, 25, 50, 75, 95])
        rows.append(
            DistributionSummary(str(name), float(p5), float(p25), float(median), float(p75), float(p95), len(members))
        )
    return sorted(rows, key=lambda row: -row.median)
