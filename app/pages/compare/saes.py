"""The SAEs that can be compared: those of the open atlases that read the same layer of the same model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.opened import atlases
from engine.atlas.format.measured import baselines, held_out
from engine.errors import AtomscopeError
from engine.files import read_json

if TYPE_CHECKING:
    from engine.atlas import Atlas

MOST = 4
"""SAEs shown side by side: more columns than that cannot be read."""

_LAYER = ("name", "revision", "layer_index", "site", "tokens")


@dataclass(frozen=True)
class ComparedSAE:
    """One SAE.

    Attributes
    ----------
    key : str
        Its name on the page and in the address: the architecture, numbered where several are alike.
    folder : Path
        ``config.json`` and weights.
    config : dict
        What it was built from.
    figures : dict
        Held-out figures, as ``atomscope evaluate --write`` recorded them; {} when it has not been measured.
    split : str
        Where they were measured.
    atlas : Atlas or None
        The atlas whose own SAE it is, so that its atoms have exemplars; None for one that only lies beside.
    """

    key: str
    folder: Path
    config: dict[str, Any]
    figures: dict[str, Any]
    split: str
    atlas: Atlas | None

    @property
    def n_atoms(self) -> int:
        """M."""
        return int(self.config.get("n_atoms", 0))


def compared_saes(atlas: Atlas) -> list[ComparedSAE]:
    """The SAEs of ``atlas``, its own first, and of the open atlases that read the same layer.

    Read anew at every call: a few small files, which ``atomscope evaluate --write`` may change under a running server.
    """
    same = [other for other in atlases.atlases().values() if other.key != atlas.key and _layer(other) == _layer(atlas)]
    found: list[ComparedSAE] = []
    names: Counter[str] = Counter()
    for one in (atlas, *same):
        split, measured = held_out(one)
        others = baselines(measured)
        folders = {"": one.path / "sae"} | {name: one.path / "baselines" / name for name in one.baselines}
        for name, folder in folders.items():
            try:
                config = read_json(folder / "config.json")
            except AtomscopeError:
                continue  # validation says what is wrong with the atlas; here it has one SAE less
            title = name or str(config.get("architecture", "sae"))
            names[title] += 1
            key = title if names[title] == 1 else f"{title}-{names[title]}"
            figures = measured if not name else others.get(name, {})
            found.append(ComparedSAE(key, folder, config, figures, split, None if name else one))
    return found


def _layer(atlas: Atlas) -> tuple[Any, ...]:
    backbone = atlas.meta["backbone"]
    return tuple(backbone.get(name) for name in _LAYER)
