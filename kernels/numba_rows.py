"""Sparsemax support and top-k of every row on the CPU, compiled by numba: about the time of two reads of the scores.

Each row is read from memory once and is then in cache:

1. *Group maxima.* Atoms are dealt into G groups (group j holds j, j + G, j + 2G, ...: an element-wise maximum, the
   quickest reduction there is). Their maxima are a subset of the row, and the sparsemax threshold of a subset never
   exceeds that of the row, so it is a lower bound.
2. *Candidates.* ``{z > bound}``, 1.05 to 1.3 times the support when the support is smaller than G, and always a
   superset of it.
3. *Threshold.* Newton from below (Michelot 1986) on the candidates in float64, until the set stops changing. All
   iterates are lower bounds, so what is left at the end is the support: nothing needs a second look.

Top-k starts the same way: a value that k group maxima reach is reached by k entries, so it is a lower bound of the k-th
largest, and only the candidates above it are sorted out. Of equal scores at the edge, the lowest atoms win.

Cost: N M float reads from memory, the same again from cache, N (G + candidates) times the Newton steps (about 6).

Everything compiled that calls one another stays in this file: numba's cache notices changes of the file only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.compiled import compiled, copy_prefix, parallel_over_rows
from kernels.rows import Support, explain_bad_row

_BLOCK = 64  # candidates are looked for 64 scores at a time: four AVX-512 registers
_GROUP = 32  # members of a group; measured best for supports of 20 to 600 at M = 4k to 64k
_FEWEST_GROUPS = 256  # below this a support of ordinary size would outnumber the groups and weaken the bound
_HALVINGS = 12  # steps of the search for the bound of top-k; each halves the spread of the maxima it lies in


def support(scores: Tensor) -> Support:
    """Sparsemax support of float32 ``scores`` [N, M] on the CPU; see :func:`kernels.sparsemax_support`."""
    n_rows, n_atoms = scores.shape
    matrix = scores.contiguous().numpy()
    groups = _n_groups(n_atoms)
    parts = parallel_over_rows(lambda start, stop: support_rows(matrix, start, stop, groups), n_rows)
    for *_, bad_row in parts:
        if bad_row >= 0:
            raise explain_bad_row(bad_row, scores[bad_row])
    crow = torch.zeros(n_rows + 1, dtype=torch.int64)
    if not parts:
        empty = torch.empty(0)
        return Support(crow, torch.empty(0, dtype=torch.int32), empty, empty, empty, n_atoms)
    col, z, p, tau, size = (torch.from_numpy(np.concatenate(column)) for column in list(zip(*parts, strict=True))[:5])
    torch.cumsum(size, 0, out=crow[1:])
    return Support(crow, col, z, p, tau, n_atoms, fallback_rows=sum(retried for *_, retried, _ in parts))


def topk_support(scores: Tensor, k: int) -> Support:
    """The k largest entries of every row of float32 ``scores`` [N, M] on the CPU; see :func:`kernels.topk.topk_support`."""
    n_rows, n_atoms = scores.shape
    matrix = scores.contiguous().numpy()
    col, z = np.empty((n_rows, k), np.int32), np.empty((n_rows, k), np.float32)
    groups = _n_groups(n_atoms)
    bad = parallel_over_rows(lambda start, stop: _topk_rows(matrix, k, groups, col, z, start, stop), n_rows)
    for row in bad:
        if row >= 0:
            raise ValueError(f"Row {row} of the scores has a NaN or infinite top-k score; check what produced it.")
    value = torch.from_numpy(z)
    tau = value.amin(dim=1)
    crow = torch.arange(n_rows + 1) * k
    return Support(
        crow, torch.from_numpy(col).flatten(), value.flatten(), (value - tau[:, None]).flatten(), tau, n_atoms
    )


def _n_groups(n_atoms: int) -> int:
    """G: groups of 32, but not fewer than 256 groups, and never more than atoms."""
    return min(n_atoms, max(-(-n_atoms // _GROUP), _FEWEST_GROUPS))


@compiled()
def group_maxima(row: Any, maxima: Any) -> None:
    """``maxima[j] = max(row[j], row[j + G], ...)``. NaN is skipped here and met again among the candidates."""
    groups = maxima.shape[0]
    n_atoms = row.shape[0]
    maxima[:] = -np.inf
    whole = n_atoms // groups * groups
    for start in range(0, whole, groups):
        block = row[start : start + groups]
        for j in range(groups):
            maxima[j] = block[j] if block[j] > maxima[j] else maxima[j]
    for i in range(whole, n_atoms):
        j = i - whole
        maxima[j] = row[i] if row[i] > maxima[j] else maxima[j]


@compiled(fastmath={"reassoc", "nsz", "nnan"})  # the maxima hold no NaN, and a lower bound may be rounded any way
def lower_bound(maxima: Any) -> Any:
    """The largest score and the sparsemax threshold of the group maxima, the latter relative to the former."""
    top = np.float32(-np.inf)
    for j in range(maxima.shape[0]):
        top = maxima[j] if maxima[j] > top else top
    if np.abs(top) == np.inf:  # no support: inf - inf below would be the NaN that is promised not to be
        return top, np.float32(-1.0)
    threshold = np.float32(-1.0)
    before = -1
    while True:
        size = 0
        total = np.float32(0.0)
        for j in range(maxima.shape[0]):
            shifted = maxima[j] - top
            inside = shifted > threshold
            size += 1 if inside else 0
            total += shifted if inside else np.float32(0.0)
        # The set can only shrink; stopping when it does not, instead of when the threshold settles, always ends.
        if size == 0 or size == before:
            return top, threshold
        before = size
        threshold = max(threshold, (total - np.float32(1.0)) / np.float32(size))


@compiled()
def gather_above(row: Any, bound: Any, col: Any, value: Any) -> int:
    """Write every entry that is not ``<= bound`` (so NaN too) to ``col`` and ``value``, ascending; how many."""
    n_atoms = row.shape[0]
    found = 0
    whole = n_atoms // _BLOCK * _BLOCK
    for start in range(0, whole, _BLOCK):
        block = row[start : start + _BLOCK]
        hits = 0
        for j in range(_BLOCK):
            hits += 0 if block[j] <= bound else 1
        if hits:
            for j in range(_BLOCK):
                if not (block[j] <= bound):
                    col[found] = start + j
                    value[found] = block[j]
                    found += 1
    for i in range(whole, n_atoms):
        if not (row[i] <= bound):
            col[found] = i
            value[found] = row[i]
            found += 1
    return found


@compiled()
def next_below(bound: float) -> Any:
    """The float32 just under ``bound``."""
    return np.nextafter(np.float32(bound), np.float32(-np.inf))


@compiled()
def newton_threshold(shifted: Any, guess: float) -> tuple[float, int]:
    """Sparsemax threshold of the candidates and how many exceed it, or -inf when ``guess`` fails its certificate.

    The certificate: if the threshold computed on ``{z > guess}`` is at least ``guess``, no entry left out belongs to
    the support. It then rises from step to step, so the set shrinks; it ends when the set stops changing.
    """
    threshold = guess
    before = -1
    while True:
        count = 0
        total = 0.0
        for value in shifted:
            if value > threshold:
                count += 1
                total += value
        if count == before:
            return threshold, count
        following = (total - 1.0) / count
        if following < guess:
            return -np.inf, 0
        threshold = max(threshold, following)
        before = count


@compiled()
def support_rows(scores: Any, start: int, stop: int, groups: int) -> Any:
    """Support of rows ``start`` to ``stop`` of float32 scores [N, M]; candidates come from ``groups`` group maxima."""
    n_atoms = scores.shape[1]
    maxima = np.empty(groups, np.float32)
    some_col = np.empty(n_atoms, np.int32)
    some_z = np.empty(n_atoms, np.float32)
    shifted = np.empty(n_atoms, np.float64)
    room = (stop - start) * 64
    col = np.empty(room, np.int32)
    z = np.empty(room, np.float32)
    p = np.empty(room, np.float32)
    tau = np.empty(stop - start, np.float32)
    size = np.zeros(stop - start, np.int64)
    n = 0
    retried = 0
    for i in range(start, stop):
        row = scores[i]
        group_maxima(row, maxima)
        top32, bound32 = lower_bound(maxima)
        if not np.isfinite(top32):
            return col[:0], z[:0], p[:0], tau, size, retried, i
        top = np.float64(top32)
        # Summed in float32, the bound may come out too high by some rounding errors: take a margin, and check below.
        guess = next_below(top + np.float64(bound32) - 1e-6)
        threshold = -np.inf
        while threshold == -np.inf:
            candidates = gather_above(row, guess, some_col, some_z)
            for j in range(candidates):
                if not np.isfinite(some_z[j]):
                    return col[:0], z[:0], p[:0], tau, size, retried, i
                shifted[j] = np.float64(some_z[j]) - top
            threshold, count = newton_threshold(shifted[:candidates], np.float64(guess) - top)
            guess = next_below(top - 1.0)
            retried += 1 if threshold == -np.inf else 0

        if n + count > room:
            room = max(2 * room, n + count)
            col = copy_prefix(col, n, np.empty(room, np.int32))
            z = copy_prefix(z, n, np.empty(room, np.float32))
            p = copy_prefix(p, n, np.empty(room, np.float32))
        for j in range(candidates):
            if shifted[j] > threshold:
                col[n] = some_col[j]
                z[n] = some_z[j]
                p[n] = shifted[j] - threshold
                n += 1
        tau[i - start] = top + threshold
        size[i - start] = count
    return col[:n], z[:n], p[:n], tau, size, retried, -1


@compiled()
def _reached_by(maxima: Any, k: int) -> Any:
    """A value that at least k of the maxima reach, near the k-th largest; -inf when there are fewer than k."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for j in range(maxima.shape[0]):
        low = maxima[j] if maxima[j] < low else low
        high = maxima[j] if maxima[j] > high else high
    if maxima.shape[0] < k or not (np.isfinite(low) and np.isfinite(high)):
        return np.float32(-np.inf)
    for _ in range(_HALVINGS):
        middle = np.float32(0.5) * low + np.float32(0.5) * high
        count = 0
        for j in range(maxima.shape[0]):
            count += 1 if maxima[j] >= middle else 0
        if count >= k:
            low = middle
        else:
            high = middle
    return low


@compiled()
def _topk_rows(scores: Any, k: int, groups: int, col: Any, z: Any, start: int, stop: int) -> int:
    n_atoms = scores.shape[1]
    maxima = np.empty(groups, np.float32)
    some_col = np.empty(n_atoms, np.int32)
    some_z = np.empty(n_atoms, np.float32)
    for i in range(start, stop):
        row = scores[i]
        group_maxima(row, maxima)
        bound = np.nextafter(_reached_by(maxima, k), np.float32(-np.inf))
        found = gather_above(row, bound, some_col, some_z)
        if found < k:  # entries of -inf are no candidates
            return i
        least = np.partition(some_z[:found], found - k)[found - k]
        above = 0
        for j in range(found):
            above += 1 if some_z[j] > least else 0
            if not np.isfinite(some_z[j]):
                return i
        ties = k - above
        n = 0
        for j in range(found):
            tie = some_z[j] == least and ties > 0
            if some_z[j] > least or tie:
                ties -= 1 if tie else 0
                col[i, n] = some_col[j]
                z[i, n] = some_z[j]
                n += 1
    return -1
