"""A guard against another distribution that has taken the name ``kernels``.

Hugging Face's package of kernels has the import name that our ground floor has. Installed into the same environment, it
hides ours, and the first import from it would fail with an error that does not name the cause. The guard acts when
something imports ``kernels``: one sentence then says what is in the way.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from engine.errors import InputError

ROOM = "kernels"


class KernelsNameTaken(MetaPathFinder):
    """Stands first among the finders and refuses every import of ``kernels``."""

    def __init__(self, stranger: str) -> None:
        self.stranger = stranger

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ``InputError`` for ``kernels`` and what is below it; leave all else to the other finders."""
        if fullname.partition(".")[0] == ROOM:
            raise InputError(
                f"Another package named {ROOM} ({self.stranger}) hides the one Atomscope brings: run "
                f"'{sys.executable} -m pip uninstall {ROOM}', or keep Atomscope in an environment of its own."
            )
        return None


def guard_kernels(root: Path) -> None:
    """Put a ``KernelsNameTaken`` in place if ``import kernels`` would find anything but ``root / "kernels"``."""
    try:
        spec = find_spec(ROOM)
    except ValueError:  # imported already, by something that left it without a spec
        spec = None
    places = [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []
    if spec is None or root / ROOM in places:
        return
    sys.modules.pop(ROOM, None)  # a stranger that was imported before us must not answer for ours
    sys.meta_path.insert(0, KernelsNameTaken(str(places[0]) if places else str(spec.origin)))
