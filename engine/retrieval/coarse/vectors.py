"""Embedding a whole corpus into a ``.npy`` file: block by block, so that a run that was stopped continues there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.backbones.vectors import Vectors, mix_vectors
from engine.files import atomic_path
from engine.progress import Progress

BLOCK = 256
"""Items between two saves."""

Embed = Callable[[NDArray[np.int64]], tuple[Vectors, NDArray[np.bool_]]]
"""Some rows of the corpus -> their vectors [n, d], and which of them could be read."""


def embed_rows(
    folder: Path,
    name: str,
    rows: NDArray[np.int64],
    count: int,
    width: int,
    embed: Embed,
    progress: Progress,
    noun: str = "captions",
) -> tuple[Vectors, NDArray[np.bool_]]:
    """The vectors of ``rows`` among ``count`` items, from ``folder`` or made now and kept there.

    Finished blocks lie in ``folder/NAME.parts`` until the last one is there. Two processes that embed the same corpus at
    once do the work twice and write the same bytes. ``progress`` calls them ``noun``.

    Returns
    -------
    (float32 [count, width], bool [count])
        Memory-mapped vectors, zeros where there is none; and where there is one.
    """
    target, mask, parts = folder / f"{name}.npy", folder / f"{name}-has.npy", folder / f"{name}.parts"
    if not (target.is_file() and mask.is_file()):
        blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
        progress.start(f"Embedding {noun}", len(rows), "items")
        for number, block in enumerate(blocks):
            path = parts / f"{number:06d}.npy"
            if not path.is_file():
                vectors, readable = embed(block)
                # A row that could not be read is kept as NaN: one file per block says everything.
                with atomic_path(path) as temporary, temporary.open("wb") as file:
                    np.save(file, np.where(readable[:, None], vectors, np.float32(np.nan)))
            progress.advance(len(block))
        has = np.zeros(count, bool)
        with atomic_path(target) as temporary:
            whole = np.lib.format.open_memmap(temporary, "w+", np.float32, (count, width))
            for number, block in enumerate(blocks):
                part = np.load(parts / f"{number:06d}.npy", allow_pickle=False)
                readable = ~np.isnan(part).any(axis=1)
                whole[block[readable]] = part[readable]
                has[block[readable]] = True
            whole.flush()
            del whole
        with atomic_path(mask) as temporary, temporary.open("wb") as file:
            np.save(file, has)
        shutil.rmtree(parts, ignore_errors=True)
        progress.finish()
    return np.load(target, mmap_mode="r", allow_pickle=False), np.load(mask, allow_pickle=False)


def combine(path: Path, image: Vectors, text: Vectors, has: NDArray[np.bool_], share: float) -> Vectors:
    """Mixed vectors of items with image and text, made block by block and kept in ``path``; memory-mapped."""
    if not path.is_file():
        with atomic_path(path) as temporary:
            whole = np.lib.format.open_memmap(temporary, "w+", np.float32, image.shape)
            for start in range(0, len(image), 4096):
                chosen = start + np.flatnonzero(has[start : start + 4096])
                whole[chosen] = mix_vectors(image[chosen], text[chosen], share)
            whole.flush()
            del whole
    mapped: Vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped
