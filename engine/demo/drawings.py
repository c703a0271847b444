"""Vector drawings as pictures. Only building the corpus needs this, so its one package is not a dependency."""

from __future__ import annotations

from pathlib import Path

from engine.errors import AtomscopeError
from engine.files import atomic_path

RENDERER = "resvg_py==0.5.0"  # pinned: another version may draw an edge differently, and the shards would differ
_WIDTH = 448  # pixels; twice the size that ships


def rasterise(drawing: Path, out: Path) -> Path | None:
    """``drawing`` (SVG) as a PNG at ``out``, drawn once; None if it cannot be drawn.

    Text in system fonts is left out, as it differs from machine to machine.
    """
    if out.is_file():
        return out
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise AtomscopeError(
            f"Building the corpus draws SVG pictures, and that needs one more package: pip install {RENDERER}."
        ) from None
    try:
        png = svg_to_bytes(svg_path=str(drawing), width=_WIDTH, skip_system_fonts=True)
    except ValueError:  # no size, no shapes
        return None
    with atomic_path(out) as temporary:
        temporary.write_bytes(png)
    return out
