"""Paintings that a puzzle game ships in pieces: put together again from the positions its boards give."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from engine.errors import InputError
from engine.files import atomic_path

_PIECE = re.compile(r'"pixmapfile"\s*:\s*"(image/[^"]+\.webp)",\s*"x"\s*:\s*"([\d.]+)",\s*"y"\s*:\s*"([\d.]+)"')
_SIZE = re.compile(r'"width"\s*:\s*(\d+),\s*"height"\s*:\s*(\d+)')


def assemble(board: Path, out: Path) -> Path:
    """Lay the pieces of ``board`` (a QML file) and save the picture as PNG at ``out``.

    A piece is named with its centre, as fractions of the board's width and height (pixels).
    """
    text = board.read_text("utf-8")
    size, pieces = _SIZE.search(text), _PIECE.findall(text)
    if not size or not pieces:
        raise InputError(f"{board} lists no puzzle pieces. Delete the unpacked sources and run again.")
    width, height = int(size[1]), int(size[2])
    canvas = Image.new("RGBA", (width, height), (255, 255, 255, 0))
    for name, x, y in pieces:
        with Image.open(board.parent.parent / name) as file:
            piece = file.convert("RGBA")
        corner = (round(float(x) * width - piece.width / 2), round(float(y) * height - piece.height / 2))
        canvas.paste(piece, corner, mask=piece)  # unlike alpha_composite, it accepts pieces that hang over the edge
    box = canvas.getchannel("A").getbbox()
    with atomic_path(out) as temporary:
        canvas.crop(box).save(temporary, "PNG")
    return out
