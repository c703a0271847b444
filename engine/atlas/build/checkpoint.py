"""The saved state of the pass, from which a pass that was killed continues."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from engine.atlas.build.accumulators import Accumulators
from engine.atlas.build.token_sample import TokenSample, TokenSampler
from engine.atlas.format.tables import save_array
from engine.files import atomic_path, read_json, write_json


def save(work: Path, accumulators: Accumulators, sampler: TokenSampler, items_done: int) -> None:
    """Write the state beside the last one and switch to it by renaming a one-line file."""
    sample = sampler.sample()
    arrays = accumulators.state() | {"sample.crow": sample.crow, "sample.atoms": sample.atoms}
    with atomic_path(_folder(work, items_done)) as temporary:
        temporary.mkdir()
        for name, array in arrays.items():
            save_array(temporary / f"{name}.npy", array)
    previous = _items_done(work)
    write_json(work / "state.json", {"items_done": items_done})
    if previous is not None and previous != items_done:
        shutil.rmtree(_folder(work, previous), ignore_errors=True)


def restore(work: Path, accumulators: Accumulators, sampler: TokenSampler) -> int:
    """Load the last checkpoint, if there is one; returns how many items are done."""
    done = _items_done(work)
    if done is None:
        return 0
    arrays = {path.stem: np.load(path, allow_pickle=False) for path in _folder(work, done).glob("*.npy")}
    sampler.restore(TokenSample(arrays["sample.crow"], arrays["sample.atoms"]))
    accumulators.restore(arrays)
    return done


def _folder(work: Path, items_done: int) -> Path:
    return work / f"state-{items_done:010d}"


def _items_done(work: Path) -> int | None:
    path = work / "state.json"
    return int(read_json(path)["items_done"]) if path.is_file() else None
