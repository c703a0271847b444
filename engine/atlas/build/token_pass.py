"""The one pass over the activation store: every token is read and encoded once, for all atoms together.

The state is written to the work folder every minute, so that a pass that was killed goes on from there. Batches are cut at
fixed items: the encoder then sees the same matrices in the resumed pass, and the artefact is the same bit by bit.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from engine.atlas.build.accumulate import Accumulators
from engine.atlas.build.grouping import segments
from engine.atlas.build.hashing import hashes
from engine.atlas.build.sample import encode
from engine.atlas.format.tables import save_array
from engine.files import atomic_path, explain_os_errors, read_json, write_json

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.progress import Progress
    from engine.sae import SparseAutoencoder

BATCH_TOKENS = 8192
CHECKPOINT_SECONDS = 60.0

_TOKEN_SALT = 1


@dataclass
class TokenSample:
    """Supports of the tokens chosen by hash, for co-activation: sizes and atoms, a batch at a time."""

    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    atoms: list[NDArray[np.int32]] = field(default_factory=list)

    def joined(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Offsets [T + 1] and atoms of all tokens so far."""
        sizes = np.concatenate([np.zeros(1, np.int64), *self.sizes])
        return np.cumsum(sizes), np.concatenate([np.zeros(0, np.int32), *self.atoms])


def sweep(
    sae: SparseAutoencoder,
    store: ActivationStore,
    acc: Accumulators,
    labels: NDArray[np.int32],
    coactivation_tokens: int,
    work: Path,
    device: torch.device,
    progress: Progress,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TokenSample:
    """Run the pass, or the rest of it, and leave the result in ``acc`` and in ``work`` (``support.npy``, ``tau.npy``).

    Parameters
    ----------
    labels : int32 [n_items]
        Label of every item, -1 for none.
    coactivation_tokens : int
        Expected size of the token sample.
    work : Path
        Folder for the checkpoint and the per-token tables; those are files, memory does not grow with the items.
    """
    sample = TokenSample()
    limit = _hash_limit(coactivation_tokens, store.n_tokens)
    start = _restore(work, acc, sample)
    shape = (store.n_items, store.n_positions)
    support = _table(work / "support.npy", np.uint16, shape, fresh=start == 0)
    tau: Any = None
    per_batch = max(BATCH_TOKENS // store.n_positions, 1)
    progress.start("one pass over the tokens", store.n_tokens, "tokens")
    if start:
        progress.advance(start * store.n_positions, "resumed")
    saved = time.monotonic()
    for first in range(start, store.n_items, per_batch):
        end = min(first + per_batch, store.n_items)
        x = torch.cat([torch.as_tensor(store.item(item)) for item in range(first, end)])
        codes = encode(sae, x.to(device))
        acc.add(
            codes.crow, codes.col, codes.val, first, store.n_positions, labels[first:end], store.embeddings[first:end]
        )
        sizes = np.diff(codes.crow)
        support[first:end] = np.minimum(sizes, np.iinfo(np.uint16).max).reshape(-1, store.n_positions)
        if codes.tau is not None:
            if tau is None:
                tau = _table(work / "tau.npy", np.float32, shape, fresh=start == 0)
            tau[first:end] = codes.tau.reshape(-1, store.n_positions)
        chosen = np.flatnonzero(
            hashes(np.arange(first * store.n_positions, end * store.n_positions), _TOKEN_SALT) <= limit
        )
        if coactivation_tokens and len(chosen):
            sample.sizes.append(sizes[chosen])
            sample.atoms.append(codes.col[segments(codes.crow[chosen], sizes[chosen])[0]])
        progress.advance((end - first) * store.n_positions, f"L0 {sizes.mean():.1f}")
        if end == store.n_items or time.monotonic() - saved >= checkpoint_seconds:
            for table in (support, tau):
                if table is not None:
                    table.flush()
            _save(work, acc, sample, end)
            saved = time.monotonic()
    progress.finish()
    return sample


def _hash_limit(wanted: int, n_tokens: int) -> np.uint64:
    """Hash below which a token is sampled, so that ``wanted`` of ``n_tokens`` are expected."""
    top = 2**64 - 1
    return np.uint64(top if wanted >= n_tokens else int(top * (wanted / n_tokens)))


def _table(path: Path, dtype: Any, shape: tuple[int, int], fresh: bool) -> Any:
    with explain_os_errors(path):
        if not fresh and path.is_file():
            return open_memmap(path, mode="r+")
        table = open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        # Writing into a mapped file that the disk has no room for kills the process: take the room now.
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return table


def _save(work: Path, acc: Accumulators, sample: TokenSample, items_done: int) -> None:
    """Write the state beside the last one and switch to it by renaming a one-line file."""
    crow, atoms = sample.joined()
    folder = work / f"state-{items_done:010d}"
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for name, array in (acc.state() | {"sample_crow": crow, "sample_atoms": atoms}).items():
            save_array(temporary / f"{name}.npy", array)
    previous = _saved_items(work)
    write_json(work / "state.json", {"items_done": items_done})
    if previous is not None and previous != items_done:
        shutil.rmtree(work / f"state-{previous:010d}", ignore_errors=True)


def _saved_items(work: Path) -> int | None:
    path = work / "state.json"
    return int(read_json(path)["items_done"]) if path.is_file() else None


def _restore(work: Path, acc: Accumulators, sample: TokenSample) -> int:
    """Load the last checkpoint, if there is one; returns how many items are done."""
    done = _saved_items(work)
    if done is None:
        return 0
    arrays = {path.stem: np.load(path, allow_pickle=False) for path in (work / f"state-{done:010d}").glob("*.npy")}
    crow, atoms = arrays.pop("sample_crow"), arrays.pop("sample_atoms")
    sample.sizes.append(np.diff(crow))
    sample.atoms.append(atoms)
    acc.restore(arrays)
    return done
