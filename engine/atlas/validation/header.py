"""Checks of ``atlas.json`` and of the files it lists."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from engine.atlas.format.header import check_header, corpus_folder
from engine.atlas.format.schema import CODE_ARRAYS, COLUMNS, REQUIRED_TABLES, TEXT_TABLES
from engine.atlas.validation.report import Report, Stop
from engine.errors import InputError
from engine.files import read_json, sha256
from engine.progress import Progress

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
_REQUIRED = (
    *REQUIRED_TABLES,
    *(f"codes/{name}.npy" for name in CODE_ARRAYS),
    "sae/config.json",
    "sae/weights.safetensors",
)


def check_meta(report: Report, folder: Path) -> dict[str, Any]:
    """``atlas.json`` itself.

    Raises
    ------
    Stop
        If nothing else can be checked: no atlas, a newer format, or keys that everything depends on are broken.
    """
    try:
        meta = read_json(folder / WHERE)
        check_header(meta, folder)
    except InputError as error:
        report.add(WHERE, str(error))
        raise Stop from None
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
        raise Stop
    _relations(report, folder, meta)
    return dict(meta)


def _relations(report: Report, folder: Path, meta: dict[str, Any]) -> None:
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


def check_files(report: Report, folder: Path, meta: dict[str, Any], progress: Progress) -> set[str]:
    """Names, presence, size and hash of every file; returns the names that are what ``atlas.json`` says they are."""
    files = meta["files"]
    sound: set[str] = set()
    progress.start("hashing", len(files), "files")
    for name, stated in files.items():
        progress.advance()
        if not safe_name(name):
            report.add(WHERE, f"files names {name!r}, which is not a plain path inside the atlas.")
        elif not isinstance(stated, dict) or not {"sha256", "bytes"} <= set(stated):
            report.add(WHERE, f"files[{name!r}] lacks sha256 or bytes.")
        elif (folder / name).is_symlink() or not _inside(folder, folder / name):
            report.add(name, "it is a link: an atlas holds its own files.")
        elif not (folder / name).is_file():
            report.add(name, "it is missing.")
        elif (size := (folder / name).stat().st_size) != stated["bytes"]:
            report.add(name, f"it has {size:,} bytes, {WHERE} says {stated['bytes']}.")
        elif sha256(folder / name) != stated["sha256"]:
            report.add(name, f"its SHA-256 is not the one in {WHERE}: the file is damaged or was changed.")
        else:
            sound.add(name)
    progress.finish()
    text = TEXT_TABLES if meta["backbone"].get("modality") == "text" else ()
    for name in (*_REQUIRED, *text):
        report.expect(name in files, name, f"the format requires it, and {WHERE} does not list it.")
    for name in sorted(_present(folder) - set(files)):
        report.add(name, f"it is not listed in {WHERE}.")
    return sound


def safe_name(name: Any) -> bool:
    """Whether ``name`` is a relative path inside the atlas: no ``..``, no root, no drive, no backslash."""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name or ":" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name and name != "."


def _present(folder: Path) -> set[str]:
    def walk(place: Path) -> Iterator[Path]:
        for path in place.iterdir():
            if path.is_dir() and not path.is_symlink():
                yield from walk(path)
            else:
                yield path

    return {path.relative_to(folder).as_posix() for path in walk(folder)} - {WHERE}


def _inside(folder: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False
