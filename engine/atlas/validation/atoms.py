"""Checks of the tables with one row for each atom or cluster: atoms, clusters, histograms."""

from __future__ import annotations

import numpy as np

from engine.atlas.format.reading import open_parquet, read_whole
from engine.atlas.format.status import status_counts, statuses
from engine.atlas.validation.context import ValidationContext
from engine.atlas.validation.report import CheckStopped, check_columns, no_nulls, same_float


def check_atoms(context: ValidationContext) -> None:
    """``atoms.parquet``."""
    where, say, atoms, counts = "atoms.parquet", context.report.rows, context.atoms, context.counts
    firing, item_count = context.firing, np.asarray(atoms["item_count"], np.int64)
    dead = firing == 0
    shown = np.minimum(item_count, context.meta["exemplars"]["top_n"])
    say(firing < 0, where, "firing_count is negative")
    say(firing > counts["tokens"], where, "firing_count is larger than the number of tokens")
    most = np.minimum(firing, counts["items"])
    least = -(-firing // max(context.n_positions, 1))
    say((item_count > most) | (item_count < least), where, "item_count does not fit firing_count")
    say(
        ~same_float(atoms["frequency"], firing / max(counts["tokens"], 1), 1e-7),
        where,
        "frequency is not firing_count / tokens",
    )
    status = np.array(atoms["status"].tolist())
    say(status != statuses(firing, counts["tokens"]), where, "status does not follow from firing_count")
    for name, count in status_counts(status).items():
        context.report.expect(
            count == counts[name], "atlas.json", f"counts.{name} is {counts[name]}, {where} has {count}."
        )
    for name in ("mean_activation", "max_activation"):
        say(np.isfinite(atoms[name]) == dead, where, f"{name} is not a number exactly where the atom fires")
    with np.errstate(invalid="ignore"):
        slack = 1e-5 * np.maximum(1, np.abs(atoms["max_activation"]))
        say(
            atoms["mean_activation"] > atoms["max_activation"] + slack, where, "mean_activation is above max_activation"
        )
        say(atoms["label_entropy"] < 0, where, "label_entropy is negative")
        share = atoms["top_label_share"]
        say((share <= 0) | (share > 1 + 1e-6), where, "top_label_share is not in (0, 1]")
        say(np.abs(atoms["monosemanticity"]) > 1 + 1e-4, where, "monosemanticity is not in [-1, 1]")
        say((atoms["diversity"] < -1e-4) | (atoms["diversity"] > 2 + 1e-4), where, "diversity is not in [0, 2]")
    named = np.array([bool(name) for name in atoms["top_label"]], bool)
    say(np.isnan(share) == named, where, "top_label_share is not a number exactly where there is a top_label")
    say(
        (item_count < 2) & ~np.isnan(atoms["monosemanticity"]),
        where,
        "monosemanticity of fewer than two items is not NaN",
    )
    say(np.isnan(atoms["diversity"]) != (shown < 2), where, "diversity is not NaN exactly below two exemplars")
    placed = np.isfinite(atoms["x"]) & np.isfinite(atoms["y"])
    if context.meta["layout"] is None:
        say(placed, where, "it has a place, but atlas.json has no layout")
    else:
        say(placed != ~dead, where, "it has a place although it is dead, or none although it fires")
    say((atoms["cluster"] >= 0) & ~placed, where, "it has a cluster but no place")
    labels = zip(atoms["label"], atoms["label_candidates"], strict=True)
    say([any(not c or c == label for c in more) or (not label and len(more) > 0) for label, more in labels], where,
        "label_candidates repeat the label, hold an empty text, or stand without a label")  # fmt: skip


def check_clusters(context: ValidationContext) -> None:
    """``clusters.parquet`` against the atoms."""
    where, report, atoms = "clusters.parquet", context.report, context.atoms
    path = context.need(where)
    check_columns(report, where, open_parquet(path).schema_arrow)
    table = read_whole(path)
    no_nulls(report, where, table)
    count = table.num_rows
    if not np.array_equal(table.column("cluster").to_numpy(), np.arange(count)):
        report.add(where, f"its rows are not cluster 0 to {count - 1}, one each, in order.")
        raise CheckStopped
    cluster = atoms["cluster"]
    report.rows((cluster < -1) | (cluster >= count), "atoms.parquet", "cluster is no row of clusters.parquet")
    inside = (cluster >= 0) & (cluster < count)
    sizes = np.bincount(cluster[inside], minlength=count)
    report.rows(table.column("size").to_numpy() != sizes, where, "size is not the number of its atoms", kind="cluster")
    for axis in ("x", "y"):
        place = np.where(np.isfinite(atoms[axis]), atoms[axis], 0).astype(np.float64)
        mean = np.bincount(cluster[inside], place[inside], count) / np.maximum(sizes, 1)
        wrong = ~same_float(table.column(axis).to_numpy(), mean, 1e-3) & (sizes > 0)
        report.rows(wrong, where, f"{axis} is not the mean of its atoms", kind="cluster")


def check_histograms(context: ValidationContext) -> None:
    """``histograms.parquet``: one row for each atom, as many bins as ``histogram_edges`` bound, summing to ``firing_count``."""
    where, report = "histograms.parquet", context.report
    edges = np.array(context.meta["histogram_edges"], np.float64)
    bins = len(edges) - 1
    for number, table in enumerate(context.groups(where)):
        first = number * context.per_group
        atoms = table.column("atom").to_numpy()
        if not np.array_equal(atoms, np.arange(first, min(first + context.per_group, context.n_atoms))):
            report.add(where, f"row group {number} does not hold every atom once.")
            raise CheckStopped
        counts = table.column("counts").combine_chunks()
        sizes = np.diff(counts.offsets.to_numpy())
        report.rows(sizes != bins, where, f"counts does not hold {bins} bins", atoms)
        if np.any(sizes != bins):
            raise CheckStopped
        values = counts.flatten().to_numpy().reshape(-1, bins)
        report.rows((values < 0).any(axis=1), where, "a count is negative", atoms)
        report.rows(values.sum(axis=1) != context.firing[atoms], where, "the counts do not sum to firing_count", atoms)
        live = atoms[context.firing[atoms] > 0]
        last = bins - 1 - (values[live - first, ::-1] > 0).argmax(axis=1)
        maximum = context.atoms["max_activation"][live].astype(np.float64)
        wanted = np.clip(np.searchsorted(edges, maximum, side="right") - 1, 0, bins - 1)
        report.rows(last != wanted, where, "the highest filled bin is not that of max_activation", live)
