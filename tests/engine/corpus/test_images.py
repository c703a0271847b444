"""The safe decoder: every kind of picture comes out as upright RGB on white, everything else as one sentence."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.corpus.images import (
    FORMATS,
    MAX_BYTES,
    UnreadableItem,
    decode_image,
    looks_like_image,
)
from engine.errors import InputError

LOSSLESS = ("PNG", "BMP", "TIFF", "PPM", "GIF")


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def halves(left: tuple[int, ...] | int, right: tuple[int, ...] | int, mode: str = "RGB") -> Image.Image:
    """An 8 x 4 image, its left half one colour, its right half another."""
    image = Image.new(mode, (8, 4), left)
    image.paste(right, (4, 0, 8, 4))
    return image


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that declares a size, whatever data it has."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", FORMATS)
def test_every_allowed_format_comes_out_as_rgb(format: str) -> None:
    image = decode_image(encoded(halves((200, 30, 30), (30, 30, 200)), format))
    assert (image.mode, image.size, image.info) == ("RGB", (8, 4), {})
    tolerance = 0 if format in LOSSLESS else 40  # chroma is coarser than one pixel in the others
    assert np.abs(np.asarray(image).astype(int)[2, 0] - (200, 30, 30)).max() <= tolerance
    assert np.abs(np.asarray(image).astype(int)[2, 7] - (30, 30, 200)).max() <= tolerance


@pytest.mark.parametrize("format", FORMATS)
def test_signatures_cover_every_allowed_format(format: str) -> None:
    assert looks_like_image(encoded(halves((200, 30, 30), (30, 30, 200)), format)[:16])


def test_the_bytes_decide_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encoded(halves((1, 2, 3), (4, 5, 6))))
    assert decode_image(path).getpixel((7, 0)) == (4, 5, 6)


def test_cmyk() -> None:
    red = decode_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)).getpixel((4, 4))
    assert np.abs(np.subtract(red, (255, 0, 0))).max() <= 6


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_greyscale_is_scaled_not_clipped(format: str) -> None:
    values = np.array([[0, 257, 32768, 65535]] * 2, np.uint16)
    grey = np.asarray(decode_image(encoded(Image.fromarray(values), format)))
    assert grey[0, :, 0].tolist() == [0, 1, 128, 255]
    assert (grey == grey[..., :1]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 51.0, 255.0]], np.float32), [0, 51, 255]),
        (np.array([[0.0, np.nan, 1000.0]], np.float32), [0, 0, 4]),
        (np.array([[0, 128, 200]], np.int32), [0, 128, 200]),
        (np.array([[0, 65535, 2**20]], np.int32), [0, 16, 255]),
    ],
)
def test_wide_greyscale_takes_the_smallest_usual_range(values: np.ndarray, expected: list[int]) -> None:
    assert np.asarray(decode_image(encoded(Image.fromarray(values), "TIFF")))[0, :, 0].tolist() == expected


def test_sixteen_bit_colour() -> None:
    """Pillow writes no 16-bit RGB, so the file is made by hand: one red pixel at 0x8000, one blue at full."""
    rows = b"\0" + struct.pack(">6H", 0x8000, 0, 0, 0, 0, 0xFFFF)
    data = bytearray(png(2, 1, zlib.compress(rows)))
    data[24] = 16
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert np.asarray(decode_image(bytes(data)))[0].tolist() == [[128, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "RGBX", "YCbCr", "LAB", "HSV", "I", "F", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.new(mode, (5, 3))
    format = "PNG" if mode in ("1", "L", "LA", "P", "RGBA", "I;16") else "TIFF"
    if mode in ("PA", "HSV"):
        image, format = image.convert("RGBA" if mode == "PA" else "RGB"), "PNG"
    assert decode_image(encoded(image, format)).mode == "RGB"


def test_alpha_lies_on_white() -> None:
    image = halves((255, 0, 0, 0), (0, 0, 0, 128), "RGBA")
    left, right = (decode_image(encoded(image)).getpixel((x, 0)) for x in (0, 7))
    assert left == (255, 255, 255)
    assert np.abs(np.subtract(right, (127, 127, 127))).max() <= 1


def test_transparent_palette_and_colour_key_lie_on_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    for format in ("PNG", "GIF"):
        image = decode_image(encoded(palette, format, transparency=0))
        assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 255)]
    key = decode_image(encoded(halves((9, 9, 9), (0, 0, 255)), transparency=(9, 9, 9)))
    assert [key.getpixel((x, 0)) for x in (0, 7)] == [(255, 255, 255), (0, 0, 255)]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert np.abs(np.subtract(decode_image(data).getpixel((3, 3)), (255, 0, 0))).max() <= 4


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    """Stored so that, turned as EXIF says, the picture is upright: red left, blue right (JPEG blocks are 16 wide)."""
    upright = halves((255, 0, 0), (0, 0, 255)).resize((64, 32), Image.Resampling.NEAREST)
    turn = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90"}
    turn |= {7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = upright.transpose(Image.Transpose[turn[orientation]]) if orientation in turn else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(stored, format, exif=exif))
    assert image.size == (64, 32)
    assert np.abs(np.asarray(image)[16, 4].astype(int) - (255, 0, 0)).max() < 12
    assert np.abs(np.asarray(image)[16, 60].astype(int) - (0, 0, 255)).max() < 12
    assert not image.getexif()


def test_damaged_exif_does_not_cost_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (16, 8), "red"), "JPEG", exif=exif)
    start = data.index(b"Exif\0\0") + 6
    assert decode_image(data[:start] + b"XX\xff\xff\xff\xff\xff\xff" + data[start + 8 :]).mode == "RGB"


BOMBS = {
    "png": png(100_000, 100_000, zlib.compress(b"\0" * 1000)),
    "gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0\0\0\0\xff\xff\xff,"
    b"\0\0\0\0" + struct.pack("<HH", 65535, 65535) + b"\0\x02\x02D\x01\0;",
    "bmp": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 1000, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    + b"\0" * 99,
    "ppm": b"P6 60000 60000 255\n" + b"\0" * 99,
    "webp extended": b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\x00" * 2 + b"\0" * 32,
    "webp lossless": b"RIFF\x40\0\0\0WEBPVP8L\x20\0\0\0\x2f" + b"\xff\xff\xff\x0f" + b"\0" * 32,
    "webp lossy": b"RIFF\x40\0\0\0WEBPVP8 \x20\0\0\0\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + b"\0" * 32,
}


def test_bombs_are_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    """In a process that may map 256 MB more than it has: the smallest of the bombs would ask for gigabytes."""
    for kind, data in BOMBS.items():
        (tmp_path / kind).write_bytes(data)
    code = """
import resource, sys
from pathlib import Path
from engine.corpus.images import UnreadableItem, decode_image
from PIL import Image
Image.init()
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 256 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        decode_image(path, name=path.name)
    except UnreadableItem as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    sentences = done.stdout.splitlines()
    assert len(sentences) == len(BOMBS)
    for kind, sentence in zip(sorted(BOMBS), sentences, strict=True):
        assert sentence.startswith(kind) and "million" in sentence and sentence.endswith("Scale it down."), sentence


def test_a_compressed_bomb_within_its_header_limit_is_told_by_its_pixels() -> None:
    image = encoded(Image.new("L", (3000, 3000)))
    assert len(image) < 100_000
    with pytest.raises(UnreadableItem, match="3,000 x 3,000 pixels"):
        decode_image(image, max_pixels=8_000_000)
    assert decode_image(image, max_pixels=9_000_000).size == (3000, 3000)


def test_a_line_of_pixels_is_refused() -> None:
    with pytest.raises(UnreadableItem, match="1,000 times"):
        decode_image(encoded(Image.new("L", (4004, 4))))
    assert decode_image(encoded(Image.new("L", (4000, 4)))).size == (4000, 4)


@pytest.mark.parametrize("format", [format for format in FORMATS if format != "GIF"])
def test_truncated_files_are_refused_with_a_sentence(format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = encoded(noise, format)
    for part in (0.2, 0.5, 0.9):
        with pytest.raises(UnreadableItem, match=r"^holiday is "):
            decode_image(data[: int(len(data) * part)], name="holiday")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "a PostScript drawing"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC picture"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive"),
        (b"just some words", "a text file"),
        (bytes(range(256)), "of an unknown type"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, sentence: str) -> None:
    with pytest.raises(UnreadableItem, match=sentence):
        decode_image(data)


def test_an_unreadable_item_is_an_input_error_and_names_the_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    cases = {"missing.png": "cannot be read", ".": "not a regular file", "pipe.png": "not a regular file"}
    for name, sentence in cases.items():
        with pytest.raises(InputError, match=sentence):
            decode_image(tmp_path / name)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    with path.open("wb") as file:
        file.write(b"II*\0")
        file.truncate(MAX_BYTES + 1)  # a hole: it takes no room on the disk
    with pytest.raises(UnreadableItem, match="larger than 512 MiB"):
        decode_image(path)


ORIGINALS = [encoded(halves((200, 30, 30), (30, 30, 200)).resize((24, 24)), format) for format in FORMATS]


@given(st.sampled_from(ORIGINALS), st.data())
def test_any_damage_gives_a_picture_or_an_unreadable_item(original: bytes, data: st.DataObject) -> None:
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(1, len(damaged)))]
    try:
        assert decode_image(bytes(damaged), max_pixels=10_000).mode == "RGB"
    except UnreadableItem as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_picture_or_an_unreadable_item(data: bytes) -> None:
    try:
        decode_image(data, max_pixels=10_000)
    except UnreadableItem as error:
        assert "\n" not in str(error)
