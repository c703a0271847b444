"""Greyscale TIFFs of more than 8 bits: what the file states is used, and no guess leaves a picture black or garbled."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.corpus import open_corpus
from engine.corpus.images import UnreadableItem, decode_image

RAMP = np.linspace(0, 1, 5)
GREY = [0, 64, 128, 191, 255]
FORMATS = {"u": 1, "i": 2, "f": 3}
CODES = {"H": 3, "I": 4, "h": 8, "i": 9, "f": 11, "d": 12}


def tiff(values: Any, white_is_zero: bool = False, order: str = "<", **stated: tuple[str, float]) -> bytes:
    """An uncompressed TIFF of values [height, width] or [height, width, 3]; ``lowest`` and ``highest`` with their type."""
    height, width, *colour = values.shape
    channels = colour[0] if colour else 1
    body = values.astype(values.dtype.newbyteorder(order)).tobytes()
    bits = values.dtype.itemsize * 8
    extra = b""
    after = 8 + len(body)
    entries = []

    def entry(tag: int, kind: str, *numbers: float) -> None:
        nonlocal extra
        packed = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(packed) > 4:
            where, extra = after + len(extra), extra + packed
            packed = struct.pack(f"{order}I", where)
        entries.append(struct.pack(f"{order}HHI", tag, CODES[kind], len(numbers)) + packed.ljust(4, b"\0"))

    entry(256, "I", width)
    entry(257, "I", height)
    entry(258, "H", *[bits] * channels)
    entry(259, "H", 1)
    entry(262, "H", 2 if colour else 0 if white_is_zero else 1)
    entry(273, "I", 8)
    entry(277, "H", channels)
    entry(278, "I", height)
    entry(279, "I", len(body))
    entry(339, "H", *[FORMATS[values.dtype.kind]] * channels)
    for tag, name in ((340, "lowest"), (341, "highest")):
        if name in stated:
            entry(tag, *stated[name])
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HI", 42, after + len(extra)) + body + extra + directory


def grey(values: Any, **options: Any) -> list[int]:
    """The grey of the five columns of a picture of ``values`` (one row of five)."""
    picture = np.asarray(decode_image(tiff(np.tile(values, (4, 1)), **options)))
    assert (picture == picture[..., :1]).all()
    return picture[0, :, 0].tolist()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_white_is_zero_is_inverted_at_every_depth(kind: Any) -> None:
    white = 1 if kind is np.float32 else np.iinfo(kind).max
    found = grey((RAMP * white).astype(kind), white_is_zero=True)
    assert found[0] == 255 and found[-1] == 0
    assert np.abs(np.subtract(found, GREY[::-1])).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "values",
    [
        np.linspace(0, 300, 5, dtype=np.float32),  # brighter than 255, black on 0..65535
        np.linspace(-1000, 1000, 5).astype(np.int16),
        np.linspace(-2, 2, 5, dtype=np.float32),
        np.linspace(0, 400, 5).astype(np.int32),
        np.linspace(0, 32767, 5).astype(np.int16),
        np.linspace(-(2**31), 2**31 - 1, 5).astype(np.int32),
    ],
)
def test_a_range_that_no_usual_one_fits_is_scaled_by_the_data(values: Any, order: str) -> None:
    assert np.abs(np.subtract(grey(values, order=order), GREY)).max() <= 1


def test_unsigned_32_bit_is_not_read_as_signed() -> None:
    assert np.abs(np.subtract(grey(np.linspace(0, 2**32 - 1, 5).astype(np.uint32)), GREY)).max() <= 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 0.25, 0.5, 0.75, 1], np.float32), GREY),
        (np.array([-0.004, 0.25, 0.5, 0.75, 1], np.float32), GREY),  # a filter's undershoot
        (np.array([0, 51, 102, 153, 204], np.float32), [0, 51, 102, 153, 204]),
        (np.array([0, 1000, 32768, 50000, 65535], np.float32), [0, 4, 128, 195, 255]),
        (np.array([0, 51, 102, 153, 204], np.int32), [0, 51, 102, 153, 204]),
        (np.array([0, 0, 0, 0, 300], np.uint16), [0, 0, 0, 0, 1]),  # 16 bits state their range: a dark picture is dark
        (np.zeros(5, np.float32), [0] * 5),
        (np.zeros(5, np.int16), [0] * 5),
    ],
)
def test_the_usual_ranges_stay(values: Any, expected: list[int]) -> None:
    assert grey(values) == expected


def test_the_stated_range_is_used() -> None:
    values = np.array([100, 150, 200, 250, 300], np.float32)
    assert np.abs(np.subtract(grey(values, lowest=("f", 100), highest=("f", 300)), GREY)).max() <= 1
    twelve = np.array([0, 1024, 2048, 3071, 4095], np.uint16)
    assert np.abs(np.subtract(grey(twelve, lowest=("H", 0), highest=("H", 4095)), GREY)).max() <= 1
    signed = np.array([-100, -50, 0, 50, 100], np.int16)
    assert grey(signed, lowest=("h", -200), highest=("h", 200))[0] == 64
    assert grey(signed, lowest=("h", 7), highest=("h", 7)) == grey(signed)  # says nothing


@pytest.mark.parametrize("kind", [np.float32, np.uint32])
def test_colour_of_32_bits_is_named(kind: Any) -> None:
    with pytest.raises(UnreadableItem, match=r"^scan is a TIFF with 32-bit colour, which is not read\."):
        decode_image(tiff(np.zeros((4, 5, 3), kind)), name="scan")


def test_other_depths_that_are_not_read_are_named() -> None:
    with pytest.raises(UnreadableItem, match="a TIFF with 64-bit floating-point greyscale"):
        decode_image(tiff(np.zeros((4, 5), np.float64)))
    with pytest.raises(UnreadableItem, match="a TIFF with 64-bit colour"):
        decode_image(tiff(np.zeros((4, 5, 3), np.float64)))


def test_a_guessed_range_is_said_once_a_kind(tmp_path: Path) -> None:
    signed, floats = np.tile(np.linspace(-1000, 1000, 5), (4, 1)).astype(np.int16), np.full((4, 5), 300, np.float32)
    stated = tiff(floats, lowest=("f", 0), highest=("f", 600))
    for name, data in {"a": tiff(signed), "b": tiff(signed), "c": tiff(floats), "d": stated}.items():
        (tmp_path / f"{name}.tif").write_bytes(data)
    (tmp_path / "e.tif").write_bytes(tiff(np.full((4, 5), 0.5, np.float32)))
    corpus = open_corpus(tmp_path)
    assert corpus.warnings == []
    for item in (3, 4):
        corpus.load(item)
    assert corpus.warnings == []
    for item in (0, 1, 2, 0, 2):
        corpus.load(item)
    assert [warning.split(" that ")[0] for warning in corpus.warnings] == [
        "a.tif is a signed 16-bit TIFF",
        "c.tif is a floating-point 32-bit TIFF",
    ]
