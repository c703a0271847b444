"""Writing ``atlas.json``, the last file of every atlas."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.atlas.format.schema import ATOMS_PER_GROUP, FORMAT_MAJOR, FORMAT_MINOR, FORMAT_NAME, definitions
from engine.files import sha256, write_json

_PACKAGES = ("atomscope", "torch", "transformers", "numpy", "scikit-learn", "umap-learn", "pyarrow", "pillow")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages whose numbers end up in an atlas."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def header() -> dict[str, Any]:
    """The part of ``atlas.json`` that every atlas of this program shares."""
    return {
        "format": {"name": FORMAT_NAME, "major": FORMAT_MAJOR, "minor": FORMAT_MINOR},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "atoms_per_group": ATOMS_PER_GROUP,
        "packages": package_versions(),
        "columns": definitions(),
    }


def hash_files(folder: Path) -> dict[str, dict[str, Any]]:
    """``files`` of ``atlas.json``: SHA-256 and size of every file of the atlas but ``atlas.json`` itself."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "atlas.json")
    return {
        path.relative_to(folder).as_posix(): {
            "sha256": sha256(path),
            "bytes": path.stat().st_size,
        }
        for path in paths
    }


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Hash the folder's files and write ``atlas.json``: the last step of every writer."""
    # Through JSON once, so that a value JSON cannot hold fails here and not in a reader.
    document = json.loads(json.dumps({**meta, "files": hash_files(folder)}, allow_nan=False))
    write_json(folder / "atlas.json", document)
