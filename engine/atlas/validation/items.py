"""Checks of the tables that have items for rows: items, and the tokens of texts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from engine.atlas.format.schema import ITEM_KINDS
from engine.atlas.validation.context import ValidationContext
from engine.atlas.validation.report import CheckStopped, same_float


def check_items(context: ValidationContext) -> None:
    """``items.parquet``."""
    where, report, items, meta = "items.parquet", context.report, context.items, context.meta

    def say(bad: Any, sentence: str) -> None:
        report.rows(bad, where, sentence, kind="item")

    ids = Counter(items["id"])
    say([not name or ids[name] > 1 for name in items["id"]], "its id is empty or not its own")
    say([kind not in ITEM_KINDS for kind in items["kind"]], f"kind is not {' or '.join(ITEM_KINDS)}")
    say((items["width"] < 0) | (items["height"] < 0), "width or height is negative")
    say(np.diff(items["corpus_index"], prepend=-1) <= 0, "corpus_index does not ascend from 0")
    splits = Counter(items["split"])
    stated = {name: count for name, count in meta["corpus"]["splits"].items() if count}
    report.expect(dict(splits) == stated, where, "its splits are not those of corpus.splits.")
    sizes = np.array([len(row) for row in items["support"]])
    say(sizes != context.n_positions, f"support does not hold {context.n_positions} values")
    if (sizes != context.n_positions).any():
        raise CheckStopped
    support = np.stack(list(items["support"])).astype(np.int64) if len(sizes) else np.zeros((0, context.n_positions))
    say((support > context.n_atoms).any(axis=1), "support is larger than the dictionary")
    say(~same_float(items["support_mean"], support.mean(axis=1), 1e-4), "support_mean is not the mean of support")
    if support.max(initial=0) < np.iinfo(np.uint16).max:  # larger supports are stored as the largest uint16
        report.expect(support.sum() == context.firing.sum(), where, "the supports do not sum to the firing counts.")
    thresholds = np.array([len(row) for row in items["tau"]])
    say(~np.isin(thresholds, (0, context.n_positions)), f"tau does not hold {context.n_positions} values, or none")
    report.expect(len(set(thresholds.tolist())) < 2, where, "some items have tau and some have none.")
    say([not np.isfinite(row).all() for row in items["tau"]], "tau is not finite")


def check_tokens(context: ValidationContext) -> None:
    """``tokens.parquet`` of an atlas of texts."""
    where, report = "tokens.parquet", context.report
    tokens = context.tokens
    report.rows([kind != "text" for kind in context.items["kind"]], "items.parquet", "kind is not text", kind="item")
    for name in ("ids", "starts"):
        short = [len(row) != context.n_positions for row in tokens[name]]
        report.rows(short, where, f"{name} does not hold {context.n_positions} values", kind="item")
        if any(short):
            raise CheckStopped
    say = [bool((row < 0).any()) for row in tokens["ids"]]
    report.rows(say, where, "a token id is negative", kind="item")
    lengths = [len(caption) for caption in context.items["caption"]]
    outside = [
        bool(len(row)) and (row[0] < 0 or row[-1] > length or bool((np.diff(row) < 0).any()))
        for row, length in zip(tokens["starts"], lengths, strict=True)
    ]
    report.rows(outside, where, "its tokens do not lie in order inside the caption", kind="item")
