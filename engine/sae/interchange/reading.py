"""Import: whatever lies at a path, as an SAE of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import InputError
from engine.files import sha256, write_json
from engine.sae.base import SparseAutoencoder
from engine.sae.interchange import checkpoint, saelens
from engine.sae.interchange.architectures import from_affine
from engine.sae.storage import CONFIG, save_sae

FORMATS = ("auto", "saelens", "sparsemax-sae")
ORIGIN = "origin.json"


class ImportedSAE(NamedTuple):
    """An SAE that was trained elsewhere."""

    sae: SparseAutoencoder
    origin: dict[str, Any]
    """``format``; ``files``, the SHA-256 of every file by name; ``metadata``, what the source says of model and layer."""


def import_sae(source: Path, format: str = "auto") -> ImportedSAE:
    """The SAE at ``source``: a SAELens folder, or the ``.pt`` file of the published sparsemax SAE.

    Raises
    ------
    InputError
        If there is nothing of a known format at ``source``, or it cannot be represented here.
    """
    if format not in FORMATS:
        raise InputError(f"Unknown format {format!r}; choose one of: {', '.join(FORMATS)}.")
    if not source.exists():
        raise InputError(f"{source} does not exist.")
    found = _detect(source) if format == "auto" else format
    if found == "saelens":
        folder = source if source.is_dir() else source.parent
        affine, metadata = saelens.read(folder)
        files = [folder / saelens.CONFIG, folder / saelens.WEIGHTS]
        return ImportedSAE(from_affine(affine), _origin(found, files, metadata))
    sae, metadata = checkpoint.read(source)
    return ImportedSAE(sae, _origin(found, [source], metadata))


def write_run(imported: ImportedSAE, out: Path, dtype: str = "float32") -> Path:
    """Write ``imported`` as a run folder: ``config.json``, ``weights.safetensors`` and ``origin.json``.

    Raises
    ------
    InputError
        If ``out`` holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} holds something already. Choose a new or an empty folder with -o.")
    save_sae(imported.sae, out, dtype)
    write_json(out / ORIGIN, imported.origin)
    return out


def _detect(source: Path) -> str:
    if saelens.is_folder(source) or source.name in (saelens.CONFIG, saelens.WEIGHTS):
        return "saelens"
    if source.is_dir() and (source / CONFIG).is_file():
        raise InputError(f"{source} is a run of Atomscope already: use it as it is.")
    if source.is_file() and source.suffix in (".pt", ".pth"):
        return "sparsemax-sae"
    raise InputError(
        f"Nothing at {source} can be imported: name a SAELens folder ({saelens.CONFIG} and {saelens.WEIGHTS}) or the .pt file "
        "of a published sparsemax SAE."
    )


def _origin(format: str, files: list[Path], metadata: dict[str, Any]) -> dict[str, Any]:
    return {"format": format, "files": {path.name: sha256(path) for path in files}, "metadata": metadata}
