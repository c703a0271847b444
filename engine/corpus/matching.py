"""Which picture a captions file means by a name."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence


def finder(names: Sequence[str]) -> Callable[[str], int]:
    """A function from a name as a captions file writes it to its index in ``names``, -1 for none.

    A picture is found by its path, else by a file name that occurs only once. Names are compared and never opened, so one
    such as ``../../secret.png`` leads nowhere.
    """
    by_path = {_composed(name): index for index, name in enumerate(names)}
    by_name: dict[str, list[int]] = defaultdict(list)
    for path, index in by_path.items():
        by_name[path.rpartition("/")[2]].append(index)

    def find(file: str) -> int:
        written = _composed(file.replace("\\", "/").removeprefix("./"))
        same_name = by_name.get(written, [])  # a path is in no need of this, and holds a slash, so it finds nothing
        return by_path.get(written, same_name[0] if len(same_name) == 1 else -1)

    return find


def _composed(name: str) -> str:
    """One spelling for names that look the same: macOS stores an umlaut as two characters, tables hold one."""
    return unicodedata.normalize("NFC", name)
