"""Checks of the files that ``atlas.json`` lists: names, presence, size and hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from engine.atlas.format.schema import CODE_ARRAYS, REQUIRED_TABLES, TEXT_TABLES
from engine.atlas.validation.header import WHERE
from engine.atlas.validation.report import FaultReport
from engine.files import sha256
from engine.progress import Progress

_REQUIRED = (
    *REQUIRED_TABLES,
    *(f"codes/{name}.npy" for name in CODE_ARRAYS),
    "sae/config.json",
    "sae/weights.safetensors",
)


def check_files(report: FaultReport, folder: Path, meta: dict[str, Any], progress: Progress) -> set[str]:
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
