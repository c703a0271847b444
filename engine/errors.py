"""The two exceptions that Atomscope raises on purpose. Each carries one sentence that names the cause and the cure."""

from __future__ import annotations


class AtomscopeError(Exception):
    """The work failed (a full disk, a download that broke). The command line exits with status 1."""


class InputError(AtomscopeError):
    """The arguments or the input are wrong. The command line exits with status 2 and never shows a traceback."""


def first_line(error: BaseException) -> str:
    """What a library's error says, cut to its first line, without the full stop; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split()).rstrip(".") if lines else type(error).__name__
