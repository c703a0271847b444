"""Export: an SAE of ours as other tools read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.files import read_json
from engine.sae.base import SparseAutoencoder
from engine.sae.interchange import saelens
from engine.sae.interchange.architectures import to_affine


def export_sae(sae: SparseAutoencoder, folder: Path, metadata: dict[str, Any] | None = None) -> list[str]:
    """Write ``sae`` as a SAELens folder, its input normalisation folded into the weights.

    Returns
    -------
    list of str
        Sentences on what SAELens computes differently; empty when it gives the same codes.

    Raises
    ------
    InputError
        If SAELens has no such architecture, or ``folder`` holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already. Choose a new or an empty folder with -o.")
    affine = to_affine(sae)
    saelens.write(affine, folder, metadata or {})
    return affine.notes


def trained_on(run: Path) -> dict[str, Any]:
    """What a run folder says of the model and the layer it was trained on, for the metadata of an export."""
    if not (run / "run.json").is_file():
        return {}
    backbone = read_json(run / "run.json").get("backbone", {})
    wanted = {"name": "model_name", "revision": "model_revision", "layer_index": "layer", "site": "site"}
    return {name: backbone[key] for key, name in wanted.items() if backbone.get(key) is not None}
