"""A store written by several processes: each extracts a run of consecutive batches into a part, and the parts are joined.

A part is an unfinished store inside the store's folder, with shards and a journal of its own, so a process that was killed goes
on where it was. Joining moves the shards and copies no activation. Parts are cut where one process would begin a new shard;
then the store is the same to the byte. Where there are too few shards for that, its content is the same in more shards.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.activations.layout import JOURNAL
from engine.activations.writer import StoreWriter
from engine.distributed.group import Group
from engine.errors import InputError

_PART = "part-{rank}-of-{size}"

Fill = Callable[[Sequence[list[int]], StoreWriter], None]


def extract_part(path: Path, job: dict[str, Any], batches: Sequence[list[int]], group: Group, fill: Fill) -> None:
    """Let ``fill`` extract this process's batches into its part, and wait for the others."""
    if (path / JOURNAL).is_file():
        raise InputError(
            f"{path} was begun by one process: go on without torchrun, or delete it and run the same command again."
        )
    with StoreWriter(path / _PART.format(rank=group.rank, size=group.size), job) as writer:
        fill(own_batches(batches, writer.batches_per_shard, group)[writer.batches_done :], writer)
        writer.close_part()
    group.wait()


def own_batches(batches: Sequence[list[int]], per_shard: int, group: Group) -> Sequence[list[int]]:
    """This process's run of ``batches``, whole shards of them where there are enough."""
    if len(batches) < per_shard * group.size:
        return group.part(batches)
    shards = group.part(range(-(-len(batches) // per_shard)))
    return batches[shards[0] * per_shard : (shards[-1] + 1) * per_shard]


def join_parts(writer: StoreWriter, group: Group) -> None:
    """Move every part into ``writer``, in order."""
    for rank in range(group.size):
        writer.adopt(writer.path / _PART.format(rank=rank, size=group.size))


def drop_parts(path: Path) -> None:
    """Remove the parts of a finished store."""
    for part in has_parts(path):
        shutil.rmtree(part, ignore_errors=True)


def has_parts(path: Path) -> list[Path]:
    """The parts in ``path``, of any number of processes."""
    return sorted(path.glob(_PART.format(rank="*", size="*")))
