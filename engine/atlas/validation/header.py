"""Checks of ``atlas.json``: its keys, and what they say about each other."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from engine.atlas.format.header import check_header, corpus_folder
from engine.atlas.format.schema import COLUMNS, TEXT_TABLES
from engine.atlas.validation.report import CheckStopped, FaultReport
from engine.errors import InputError
from engine.files import read_json

WHERE = "atlas.json"

_COUNTS = (
    "atoms items positions tokens live dead rare dense skipped_items labels labels_counted coactivation_tokens".split()
)
_KEYS: dict[str, tuple[str, ...]] = {
    "backbone": tuple(
        "name revision architecture layer site tokens d_model n_layers grid prefix image_size preprocessing dtype note".split()
    ),
    "corpus": ("name", "hash", "items", "splits"),
    "activations": ("hash", "dtype", "tokens"),
    "sae": ("architecture", "d_model", "n_atoms"),
    "exemplars": ("top_n", "bands", "band_size", "sample"),
    "thumbs": ("kind",),
}


def check_meta(report: FaultReport, folder: Path) -> dict[str, Any]:
    """``atlas.json`` itself.

    Raises
    ------
    CheckStopped
        If nothing else can be checked: no atlas, a newer format, or keys that everything depends on are broken.
    """
    try:
        meta = read_json(folder / WHERE)
        check_header(meta, folder)
    except InputError as error:
        report.add(WHERE, str(error))
        raise CheckStopped from None
    before = len(report.faults)
    for key, names in _KEYS.items():
        entry = meta.get(key)
        if not isinstance(entry, dict):
            report.add(WHERE, f"{key} is missing.")
            continue
        for name in names:
            report.expect(name in entry, WHERE, f"{key}.{name} is missing.")
    counts = meta["counts"]
    for name in _COUNTS:
        report.expect(_count(counts.get(name)), WHERE, f"counts.{name} is not a whole number of 0 or more.")
    group = meta.get("atoms_per_group")
    report.expect(_count(group) and group > 0, WHERE, "atoms_per_group is not a whole number above 0.")
    edges = meta.get("histogram_edges")
    numbers = isinstance(edges, list) and len(edges) > 1 and all(_number(edge) for edge in edges)
    rising = numbers and all(a < b for a, b in pairwise(edges))
    report.expect(bool(rising), WHERE, "histogram_edges are not ascending numbers.")
    for name, value in (meta.get("exemplars") or {}).items():
        report.expect(_count(value) and value > 0, WHERE, f"exemplars.{name} is not a whole number above 0.")
    grid = meta["backbone"].get("grid")
    square = isinstance(grid, list) and len(grid) == 2 and all(_count(side) for side in grid)
    report.expect(square, WHERE, "backbone.grid is not [rows, columns].")
    report.expect(_count(meta["backbone"].get("prefix")), WHERE, "backbone.prefix is not a whole number of 0 or more.")
    if len(report.faults) > before:
        raise CheckStopped
    _relations(report, folder, meta)
    return dict(meta)


def _relations(report: FaultReport, folder: Path, meta: dict[str, Any]) -> None:
    """What keys of ``atlas.json`` say about each other."""
    counts, backbone, sae = meta["counts"], meta["backbone"], meta["sae"]
    rows, columns = backbone["grid"]
    report.expect(counts["tokens"] == counts["items"] * counts["positions"], WHERE, "tokens is not items x positions.")
    report.expect(
        counts["positions"] == backbone["prefix"] + rows * columns or rows * columns == 0,
        WHERE,
        "positions is not prefix + rows x columns.",
    )
    parts = sum(counts[name] for name in ("live", "dead", "rare", "dense"))
    report.expect(parts == counts["atoms"], WHERE, "live, dead, rare and dense do not add up to atoms.")
    report.expect(sae["n_atoms"] == counts["atoms"], WHERE, "sae.n_atoms is not counts.atoms.")
    report.expect(sae["d_model"] == backbone["d_model"], WHERE, "sae.d_model is not backbone.d_model.")
    report.expect(meta["activations"]["tokens"] == counts["tokens"], WHERE, "activations.tokens is not counts.tokens.")
    report.expect(isinstance(meta.get("title"), str), WHERE, "title is not a text.")
    report.expect(_time(meta.get("created")), WHERE, "created is not an ISO 8601 time.")
    report.expect(isinstance(meta.get("packages"), dict), WHERE, "packages is missing.")
    splits = meta["corpus"]["splits"]
    good = isinstance(splits, dict) and all(_count(count) for count in splits.values())
    report.expect(good, WHERE, "corpus.splits does not name counts.")
    report.expect("layout" in meta, WHERE, "layout is missing (null when there is none).")
    layout = meta.get("layout")
    if layout is not None:
        named = (
            isinstance(layout, dict)
            and layout.get("method") in ("umap", "pca")
            and {"parameters", "seed"} <= set(layout)
        )
        report.expect(named, WHERE, "layout does not name method (umap or pca), parameters and seed.")
    measured = meta.get("measured")
    report.expect(
        isinstance(measured, dict) and all(isinstance(v, dict) for v in measured.values()),
        WHERE,
        "measured is not {split: {figure: value}}.",
    )
    defined = meta.get("columns") or {}
    for table, names in COLUMNS.items():
        if table in TEXT_TABLES and table not in meta["files"]:
            continue
        missing = [name for name in names if not str((defined.get(table) or {}).get(name) or "")]
        report.expect(not missing, WHERE, f"columns does not define {', '.join(missing)} of {table}.")
    kind, size = meta["thumbs"]["kind"], meta["thumbs"].get("size")
    report.expect(kind in ("corpus", "shards", "none"), WHERE, f"thumbs.kind is {kind!r}, not corpus, shards or none.")
    report.expect(kind != "shards" or (_count(size) and size > 0), WHERE, "thumbs.size is not a whole number above 0.")
    if kind == "corpus" or "path" in meta["corpus"]:
        with report.guard(WHERE):
            corpus_folder(folder, meta)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False
