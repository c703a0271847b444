"""The folder beside the atlas in which it is built: held by one build at a time, and kept until the atlas is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from engine.errors import InputError
from engine.files import read_json, write_json

_LAYOUT = 2
"""Number of the way in which stages keep their results here; what another way left is not read."""

_LATER_STAGES = ("layout", "atlas", "plan.json")


@contextmanager
def hold_work_folder(out: Path) -> Iterator[Path]:
    """The work folder of the atlas ``out``, for this process alone.

    Raises
    ------
    InputError
        If another process builds the same atlas right now.
    """
    work = out.resolve().with_name(f".{out.resolve().name}.building")
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work.with_suffix(".lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{out} is being built by another process right now.") from None
    try:
        yield work
    finally:
        work.with_suffix(".lock").unlink(missing_ok=True)
        lock.release()


def begin(work: Path, of_the_pass: dict[str, Any], of_the_rest: dict[str, Any]) -> str:
    """Keep the results of an earlier build that still apply; returns when the first one began, UTC, ISO 8601.

    Parameters
    ----------
    of_the_pass : dict
        What decides the pass over the tokens: if it differs, everything starts again.
    of_the_rest : dict
        What decides the later stages: if only this differs, the pass is kept.
    """
    path, found = work / "plan.json", of_the_pass | {"work_folder": _LAYOUT}
    known = read_json(path) if path.is_file() else {}
    if known.get("found") == found and known.get("rest") == of_the_rest:
        return str(known["created"])
    keep = known.get("found") == found
    for left in work.iterdir():
        if keep and left.name not in _LATER_STAGES:
            continue
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
    created = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(path, {"found": found, "rest": of_the_rest, "created": created})
    return created


def publish(work: Path, folder: Path, out: Path) -> None:
    """Put the whole atlas in ``folder`` in the place of ``out`` and drop the work folder."""
    if out.is_dir():
        shutil.rmtree(out)
    os.replace(folder, out)
    shutil.rmtree(work)
