"""Reading a store's tokens in a well-mixed, repeatable order with bounded memory.

Every picture is cut into short runs of neighbouring positions (large enough to read at disk speed). The runs of all
pictures are put in random order; as many as fill the buffer are read, and their tokens are dealt out in random order.
So a buffer holds a random sample from nearly the whole store, and two tokens of one picture meet in a batch about as
often as chance has it. Everything follows from (seed, epoch): any batch can be reached again without the ones before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BUFFER_BYTES = 256_000_000
RUN_BYTES = 96_000

Read = Callable[[int, int, int], np.ndarray]  # item, first position, last position + 1 -> [positions, d]


class TokenBatch(NamedTuple):
    """Some tokens of a store.

    Attributes
    ----------
    x : float32 [n, d]
        Activations.
    tokens : int64 [n]
        Token ids: item * positions + position.
    """

    x: Tensor
    tokens: Tensor


def ordered(read: Read, rows: NDArray[np.int64], positions: int, size: int, start: int) -> Iterator[TokenBatch]:
    """Batches of ``size`` tokens in the order of ``rows``, from batch ``start`` on; the last may be smaller."""
    total = len(rows) * positions
    for first in range(start * size, total, size):
        last = min(first + size, total)
        pieces, ids = [], []
        while first < last:
            row, position = int(rows[first // positions]), first % positions
            end = min(position + last - first, positions)
            pieces.append(read(row, position, end))
            ids.append(np.arange(row * positions + position, row * positions + end))
            first += end - position
        x = np.concatenate(pieces).astype(np.float32, copy=False)
        yield TokenBatch(torch.from_numpy(x), torch.from_numpy(np.concatenate(ids)))


def shuffled(
    read: Read,
    rows: NDArray[np.int64],
    positions: int,
    width: int,
    dtype: np.dtype[Any],
    size: int,
    seed: tuple[int, int],
    start: int,
    buffer_bytes: int = BUFFER_BYTES,
) -> Iterator[TokenBatch]:
    """Batches of ``size`` tokens in random order, from batch ``start`` on; the last may be smaller.

    Parameters
    ----------
    read : callable
        Reads a run of positions of one item.
    rows : int64 [n]
        Items to read.
    positions, width : int
        P and d.
    dtype : dtype
        How numbers are stored.
    seed : (seed, epoch)
        The order follows from it.
    buffer_bytes : int
        Memory for mixing, in stored bytes. Index arrays need some 24 bytes a run more.
    """
    total = len(rows) * positions
    if total == 0:
        return
    token_bytes = width * dtype.itemsize
    runs = max(1, min(positions, round(positions * token_bytes / RUN_BYTES)))
    edges = np.linspace(0, positions, runs + 1).astype(np.int64)
    rows = np.sort(rows)
    order = np.random.default_rng([*seed, 0]).permutation(len(rows) * runs)
    lengths = np.diff(edges)[order % runs]
    begins = np.cumsum(lengths) - lengths  # the stream offset at which each run begins
    capacity = max(buffer_bytes // token_bytes, size, positions)
    # A run belongs to the window in which it begins, so windows are cut at the same places whatever the start is.
    cuts = np.append(np.searchsorted(begins, np.arange(0, total, capacity)), len(order))
    offsets = np.append(begins, total)[cuts]
    buffer = np.empty((int(np.diff(offsets).max()), width), dtype)

    def window(index: int) -> NDArray[np.int64]:
        """Fill the buffer; returns the ids of its tokens. Runs are read in the order they lie on disk."""
        ids, filled = [], 0
        for run in np.sort(order[cuts[index] : cuts[index + 1]]):
            row, (first, last) = int(rows[run // runs]), edges[run % runs : run % runs + 2]
            buffer[filled : filled + last - first] = read(row, int(first), int(last))
            ids.append(np.arange(row * positions + first, row * positions + last))
            filled += int(last - first)
        return np.concatenate(ids)

    current, ids, deal = -1, np.empty(0, np.int64), np.empty(0, np.int64)
    for first in range(start * size, total, size):
        end = min(first + size, total)
        x, tokens, done = np.empty((end - first, width), np.float32), np.empty(end - first, np.int64), 0
        while first < end:
            needed = int(np.searchsorted(offsets, first, side="right")) - 1
            if needed != current:
                current, ids = needed, window(needed)
                deal = np.random.default_rng([*seed, 1, current]).permutation(len(ids))
            low, high = first - offsets[current], min(end, offsets[current + 1]) - offsets[current]
            part = slice(done, done + int(high - low))
            x[part], tokens[part] = buffer[deal[low:high]], ids[deal[low:high]]
            done = part.stop
            first += part.stop - part.start
        yield TokenBatch(torch.from_numpy(x), torch.from_numpy(tokens))
