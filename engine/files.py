"""Atomic writes and content hashes: a killed run leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import AtomscopeError, InputError

_TEMPORARY = ".partial"


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; on success it replaces ``target``, on failure it disappears.

    Works for a file or, when the body makes a directory there, for a directory.

    Raises
    ------
    AtomscopeError
        If the disk is full or the folder cannot be written; the sentence says which.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}{_TEMPORARY}")
    try:
        with explain_os_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if temporary.is_dir() and target.is_dir():
                shutil.rmtree(target)
            os.replace(temporary, target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


@contextmanager
def explain_os_errors(target: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into one clear sentence about ``target``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AtomscopeError(
                f"No space left while writing {target}. Free some disk space and run the same command again: "
                "finished parts are kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AtomscopeError(
                f"Cannot write {target} ({os.strerror(error.errno)}). Choose another folder with -o, or set "
                "ATOMSCOPE_CACHE to a folder you may write."
            ) from error
        raise


def write_json(target: Path, document: Any) -> None:
    """Write ``document`` as indented UTF-8 JSON, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises
    ------
    InputError
        If the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}).") from None


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """When a file was last written (nanoseconds), its size in bytes and its inode: another stamp, another content. None
    without a file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def without_nan(value: Any) -> Any:
    """``value`` with NaN and infinities as None, which JSON has no word for; tuples and arrays become lists, and numpy's
    numbers Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
