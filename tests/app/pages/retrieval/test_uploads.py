"""Uploads: decoded to find out what they are, made small, and refused with a sentence."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from app.pages.retrieval.uploads import SIDE, check
from engine.errors import InputError


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG header that promises 60,000 x 60,000 pixels."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_a_picture_is_kept_small_and_upright() -> None:
    image = Image.new("RGB", (3000, 1500), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side
    upload = check(encoded(image, "JPEG", exif=exif), "photo.png")
    assert upload.size == (1500, 3000) and max(upload.image.size) == SIDE
    assert upload.uri.startswith("data:image/webp;base64,") and len(upload.uri) < 40_000
    assert upload.digest == check(encoded(image, "JPEG", exif=exif), "other.png").digest


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"Dear diary, this is no picture.\n" * 20, "not a JPEG, PNG"),
        (b"", "is empty"),
        (bomb(), "million pixels"),
        (encoded(Image.new("RGB", (64, 64)), "PNG")[:55], "damaged or cut short"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a JPEG, PNG"),
    ],
    ids=["text", "nothing", "bomb", "cut short", "svg"],
)
def test_anything_else_is_refused_with_one_sentence(data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        check(data, "notes.png")
    assert str(refused.value).startswith("notes.png") and "\n" not in str(refused.value)
