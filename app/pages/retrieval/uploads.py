"""Uploaded query pictures: checked by decoding them, kept small, and only in the memory of the session that sent them."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from engine.corpus.images import UnreadableItem, decode_image

MAX_PIXELS = 40_000_000
"""A query picture above this is refused from its header; phones make 12 to 50 million pixels, models see under one."""

SIDE = 1024
THUMB = 256


@dataclass(frozen=True)
class Upload:
    """One uploaded picture.

    Attributes
    ----------
    digest : str
        Of the file's bytes; names it in a request.
    name : str
        File name, for the eye.
    image : Image
        Upright RGB, longest side at most ``SIDE`` pixels.
    size : (int, int)
        Width and height before that.
    uri : str
        A thumbnail as a data address: nothing of an upload is served under a public one.
    """

    digest: str
    name: str
    image: Image.Image
    size: tuple[int, int]
    uri: str


def check(data: bytes, name: str) -> Upload:
    """Decode an uploaded file. Its bytes decide the format, not its name.

    Raises
    ------
    InputError
        If it is no picture, is damaged, or has more than ``MAX_PIXELS``; the sentence names the file.
    """
    shown = name if len(name) <= 60 else f"{name[:57]}..."
    if not data:
        raise UnreadableItem(f"{shown} is empty (0 bytes).")
    image = decode_image(data, max_pixels=MAX_PIXELS, name=shown)
    size = image.size
    image.thumbnail((SIDE, SIDE))
    return Upload(hashlib.sha256(data).hexdigest()[:16], shown, image, size, data_uri(image))


def data_uri(image: Image.Image) -> str:
    """A picture of at most 256 pixels a side, as a data address."""
    small = image.copy()
    small.thumbnail((THUMB, THUMB))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=82)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
