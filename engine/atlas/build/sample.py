"""Stage 1, the sampled items: chosen by hash and encoded before the pass. They give the histogram edges, ``codes/`` and
the entrants."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.atlas.build.encoding import EncodedTokens, encode
from engine.atlas.build.entrants import Entrants, find_entrants, join
from engine.atlas.build.hashing import choose
from engine.atlas.format.tables import save_array
from engine.files import write_json

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.progress import Progress
    from engine.sae import SparseAutoencoder


@dataclass(frozen=True)
class ItemSample:
    """The sampled items and their codes.

    Attributes
    ----------
    items : int32 [S]
        Sampled items, ascending.
    codes : EncodedTokens
        Codes of their S P tokens.
    entrants : Entrants
        The atoms just below the threshold of each of these tokens; no rows when the SAE has no threshold.
    """

    items: NDArray[np.int32]
    codes: EncodedTokens
    entrants: Entrants


def take_sample(
    sae: SparseAutoencoder, store: ActivationStore, size: int, device: torch.device, folder: Path, progress: Progress
) -> ItemSample:
    """The sample of :func:`draw_sample`, drawn once and kept in ``folder``."""
    if not (folder / "done.json").is_file():
        _save(draw_sample(sae, store, size, device, progress), folder)
    return _load(folder)


def draw_sample(
    sae: SparseAutoencoder, store: ActivationStore, size: int, device: torch.device, progress: Progress
) -> ItemSample:
    """Encode ``size`` items chosen by hash, the same for every order of the data and every SAE."""
    items = choose(store.n_items, min(size, store.n_items)).astype(np.int32)
    progress.start("encoding the sample", len(items), "items")
    parts, entrants = [], []
    for place, item in enumerate(items):
        x = torch.as_tensor(store.item(int(item))).to(device)
        part = encode(sae, x)
        parts.append(part)
        if part.tau is not None:
            entrants.append(find_entrants(sae, x, part, place * store.n_positions))
        progress.advance()
    progress.finish()
    codes = EncodedTokens(
        crow=np.concatenate([[0], np.cumsum(np.concatenate([part.sizes for part in parts]))]).astype(np.int64),
        col=np.concatenate([part.col for part in parts]),
        val=np.concatenate([part.val for part in parts]),
        tau=np.concatenate([part.tau for part in parts if part.tau is not None]) if entrants else None,
    )
    return ItemSample(items, codes, join(entrants))


def _save(sample: ItemSample, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    save_array(folder / "items.npy", sample.items)
    for name, part in (("codes", sample.codes), ("entrants", sample.entrants)):
        for entry in fields(part):
            if (array := getattr(part, entry.name)) is not None:
                save_array(folder / f"{name}.{entry.name}.npy", array)
    write_json(folder / "done.json", {})


def _load(folder: Path) -> ItemSample:
    arrays: dict[str, Any] = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
    arrays.setdefault("codes.tau", None)
    return ItemSample(
        items=arrays["items"],
        codes=EncodedTokens(**{entry.name: arrays[f"codes.{entry.name}"] for entry in fields(EncodedTokens)}),
        entrants=Entrants(**{entry.name: arrays[f"entrants.{entry.name}"] for entry in fields(Entrants)}),
    )
