"""The order of the checks: the header, the files' hashes, then file after file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.atlas.format.reading import read_whole
from engine.atlas.validation.atoms import check_atoms, check_clusters, check_histograms
from engine.atlas.validation.codes import read_codes
from engine.atlas.validation.context import ValidationContext
from engine.atlas.validation.entrants import check_entrants
from engine.atlas.validation.exemplars import check_exemplars
from engine.atlas.validation.files import check_files
from engine.atlas.validation.header import check_meta
from engine.atlas.validation.items import check_items, check_tokens
from engine.atlas.validation.labels import check_labels
from engine.atlas.validation.neighbours import check_neighbours
from engine.atlas.validation.report import CheckStopped, FaultReport
from engine.atlas.validation.saes import load_saes
from engine.atlas.validation.thumbs import check_thumbs
from engine.progress import Progress, SilentProgress


def validate_atlas(path: Path | str, progress: Progress | None = None) -> list[str]:
    """Check every file of the atlas in folder ``path``.

    Returns
    -------
    list of str
        One line for each fault, empty when the atlas is sound. The content of a file whose hash is wrong is not looked at.
    """
    report, folder, progress = FaultReport(), Path(path).expanduser(), progress or SilentProgress()
    if not (folder / "atlas.json").is_file():
        return [f"{folder} is not a concept atlas: it has no atlas.json."]
    try:
        meta = check_meta(report, folder)
    except CheckStopped:
        return report.faults
    context = ValidationContext(report, folder, meta, check_files(report, folder, meta, progress))
    directions = None
    with report.guard("sae"):
        directions = load_saes(context)
    checks: dict[str, Callable[[], object]] = {
        "atoms.parquet": lambda: check_atoms(context),
        "clusters.parquet": lambda: check_clusters(context),
        "histograms.parquet": lambda: check_histograms(context),
        "items.parquet": lambda: check_items(context),
        "labels.parquet": lambda: check_labels(context),
        "neighbours.parquet": lambda: check_neighbours(context, directions),
        "codes": lambda: read_codes(context),
        "exemplars.parquet": lambda: check_exemplars(context),
        "entrants.parquet": lambda: check_entrants(context),
        "thumbs": lambda: check_thumbs(context),
    }
    if "tokens.parquet" in meta["files"]:
        checks["tokens.parquet"] = lambda: check_tokens(context)
    if "training.parquet" in meta["files"]:
        checks["training.parquet"] = lambda: read_whole(context.need("training.parquet"))
    progress.start("checking", len(checks), "files")
    for where, check in checks.items():
        with report.guard(where):
            check()
        progress.advance()
    progress.finish()
    return report.faults
