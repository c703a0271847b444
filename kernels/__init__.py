"""Exact sparsemax support, CSR codes, sparse decode and their gradients.

This package stays light on import. ``transformers`` probes for a package named ``kernels`` (Hugging Face's) when it is
imported and finds this one; so nothing here imports torch or triton before a function is called, and there is no
``__version__``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.codes import SparseCodes as SparseCodes

_HOMES = {
    "SparseCodes": "kernels.codes",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'kernels' has no attribute {name!r}")
    return getattr(import_module(home), name)
