"""Which candidates ship: near-duplicates dropped, each label given its share, every variant kept in one split."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.demo.candidates import Candidate

SPLITS = {"train": 0.75, "validation": 0.08, "test": 0.17}

# Two pictures are the same one when their hashes differ in at most this many of 64 bits and their 16 x 16 thumbnails
# by at most this mean absolute difference (0..255). Looser limits only bind two pictures to the same split.
SAME = (6, 5.0)
AKIN = (10, 12.0)
# Emoji are drawn from one template: two faces that differ in the mouth alone are two emoji, not one.
SAME_EMOJI = (3, 1.2)


def stable_hash(text: str) -> int:
    """A 64-bit number that depends on ``text`` alone: the same on every machine and in every run."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def similar_pairs(
    hashes: NDArray[np.bool_], thumbs: NDArray[np.uint8], limits: tuple[int, float], chunk: int = 256
) -> list[tuple[int, int]]:
    """Pairs (i < j) within ``limits`` of each other.

    Parameters
    ----------
    hashes
        bool [N, 64].
    thumbs
        uint8 [N, side, side, 3].
    """
    bits, colour = limits
    signs = hashes.astype(np.float32) * 2 - 1
    flat = thumbs.reshape(len(thumbs), -1).astype(np.int16)
    pairs = []
    for start in range(0, len(signs), chunk):
        distance = (signs.shape[1] - signs[start : start + chunk] @ signs.T) / 2
        for row, column in np.argwhere(distance <= bits):
            i, j = start + int(row), int(column)
            if i < j and np.abs(flat[i] - flat[j]).mean() <= colour:
                pairs.append((i, j))
    return pairs


def drop_duplicates(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Indices to keep: the first of every set of near-duplicates, in order."""
    dropped: set[int] = set()
    for i, j in sorted(pairs):
        if i not in dropped:
            dropped.add(j)
    return [i for i in range(count) if i not in dropped]


def join_groups(groups: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """The group of each item once akin items share one (union-find; a joined group takes its smallest name)."""
    parent: dict[str, str] = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for i, j in pairs:
        low, high = sorted((root(groups[i]), root(groups[j])))
        parent[high] = low
    return [root(group) for group in groups]


def fill(candidates: Sequence[Candidate], room: int) -> list[Candidate]:
    """At most ``room`` of ``candidates``, label by label in turn, so that small labels are kept whole."""
    queues: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in sorted(candidates, key=lambda c: (stable_hash(c.id), c.id), reverse=True):
        queues[candidate.label].append(candidate)
    chosen: list[Candidate] = []
    while len(chosen) < room and queues:
        for label in sorted(queues):
            if len(chosen) < room:
                chosen.append(queues[label].pop())
            if not queues[label]:
                del queues[label]
    return chosen


def assign_splits(candidates: Sequence[Candidate], groups: Sequence[str]) -> list[str]:
    """The split of each candidate: whole groups, in the proportions of ``SPLITS``, stratified by source and label.

    Groups are taken stratum by stratum, inside one in the order of a stable hash, and each goes to the split that is
    furthest behind its share. So every stratum is cut in the same proportions and a rebuild gives the same result.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)

    def order(group: str) -> tuple[str, str, int, str]:
        first = candidates[members[group][0]]
        return first.source, first.label, stable_hash(group), group

    placed = dict.fromkeys(SPLITS, 0)
    splits = [""] * len(candidates)
    total = 0
    for group in sorted(members, key=order):
        total += len(members[group])
        split = max(SPLITS, key=lambda name: SPLITS[name] * total - placed[name])
        placed[split] += len(members[group])
        for index in members[group]:
            splits[index] = split
    return splits
