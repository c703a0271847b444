"""Checks of the SAEs in an atlas: they load, and fit the backbone and ``atlas.json``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.atlas.validation.context import ValidationContext


def load_saes(context: ValidationContext) -> NDArray[np.float32] | None:
    """Load ``sae/`` and every baseline; returns the unit decoder directions of ``sae/``."""
    from engine.sae import load_sae

    folders = sorted(
        {name.rsplit("/", 1)[0] for name in context.meta["files"] if name.startswith(("sae/", "baselines/"))}
    )
    directions = None
    for folder in folders:
        with context.report.guard(folder):
            context.need(f"{folder}/config.json")
            context.need(f"{folder}/weights.safetensors")
            sae = load_sae(context.folder / folder)
            good = sae.config.d_model == context.meta["backbone"]["d_model"]
            context.report.expect(good, folder, "its d_model is not that of the backbone.")
            if folder == "sae":
                stated = context.meta["sae"]
                same = all(stated.get(key) == value for key, value in sae.config.to_dict().items() if key in stated)
                context.report.expect(same, "atlas.json", "sae is not the config in sae/config.json.")
                rows = sae.directions().float().numpy()
                directions = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return directions
