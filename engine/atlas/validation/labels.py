"""Checks of ``labels.parquet``, against the atoms and the labels of the items."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np

from engine.atlas.format.schema import LABELS_KEPT
from engine.atlas.grouping import place_in_group
from engine.atlas.validation.context import ValidationContext
from engine.atlas.validation.report import same_float


def check_labels(context: ValidationContext) -> None:
    """``labels.parquet`` against the atoms and the labels of the items."""
    where, report = "labels.parquet", context.report
    known = Counter(label for label in context.items["label"] if label)
    report.expect(
        len(known) == context.counts["labels"], "atlas.json", "counts.labels is not the number of labels of the items."
    )
    everything = context.counts["labels_counted"] == len(known) <= LABELS_KEPT and "" not in set(context.items["label"])
    item_count = np.asarray(context.atoms["item_count"], np.int64)
    for number, table in enumerate(context.groups(where)):
        atom = table.column("atom").to_numpy()
        label = table.column("label").to_pylist()
        tokens, items = (table.column(name).to_numpy() for name in ("tokens", "items"))
        same = atom[1:] == atom[:-1]
        report.rows(same & (tokens[1:] > tokens[:-1]), where, "tokens rise", atom[1:])
        falls = np.array([a >= b for a, b in pairwise(label)], bool)
        report.rows(same & (tokens[1:] == tokens[:-1]) & falls, where, "equal labels are not in order", atom[1:])
        report.rows(place_in_group(atom) >= LABELS_KEPT, where, f"it has more than {LABELS_KEPT} labels", atom)
        pairs = Counter(zip(atom.tolist(), label, strict=True))
        report.rows(
            [pairs[pair] > 1 for pair in zip(atom.tolist(), label, strict=True)], where, "it repeats a label", atom
        )
        allowed = np.array([known.get(name, 0) for name in label], np.int64)
        report.rows(allowed == 0, where, "a label is not the label of any item", atom)
        wrong = (items < 1) | (items > allowed) | (tokens < items) | (tokens > items * context.n_positions)
        report.rows(wrong, where, "tokens and items do not fit each other or the items", atom)
        report.rows(
            ~same_float(table.column("share").to_numpy(), tokens / np.maximum(context.firing[atom], 1)),
            where,
            "share is not tokens / firing_count",
            atom,
        )
        first = number * context.per_group
        span = np.arange(first, min(first + context.per_group, context.n_atoms))
        sums = np.bincount(atom - first, tokens, len(span)).astype(np.int64)
        firing = context.firing[span]
        report.rows(
            sums != firing if everything else sums > firing, where, "tokens do not add up to firing_count", span
        )
        sums = np.bincount(atom - first, items, len(span)).astype(np.int64)
        count = item_count[span]
        report.rows(sums != count if everything else sums > count, where, "items do not add up to item_count", span)
