"""A contact sheet: the pictures of a corpus with their captions and labels, for looking at many at once."""

from __future__ import annotations

import io
import random
from pathlib import Path
from textwrap import wrap

import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from engine.errors import InputError
from engine.files import atomic_path, read_json

_CELL, _LINE, _LINES, _GAP = 150, 12, 5, 8


def draw_contact_sheet(corpus: Path, out: Path, count: int = 60, seed: int = 0, contains: str = "") -> int:
    """Draw ``count`` random items of ``corpus`` whose id or label contains ``contains``; returns how many were drawn."""
    ending = out.suffix.lower()
    if ending not in (".png", ".jpg", ".webp"):
        raise InputError(f"{out} is not a picture name. End it in .png, .jpg or .webp.")
    rows = []
    for name in sorted(read_json(corpus / "corpus.json")["files"]):
        table = pq.read_table(corpus / name, columns=["image", "id", "caption", "label", "split"])
        rows += [row for row in table.to_pylist() if contains in row["id"] or contains in row["label"]]
    rows.sort(key=lambda row: str(row["id"]))
    if len(rows) > count:
        rows = sorted(random.Random(seed).sample(rows, count), key=lambda row: (row["label"], row["id"]))
    columns = min(10, len(rows)) or 1
    height = _CELL + _LINES * _LINE + _GAP
    sheet = Image.new("RGB", (columns * (_CELL + _GAP), -(-max(len(rows), 1) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(10)
    for index, row in enumerate(rows):
        x, y = index % columns * (_CELL + _GAP), index // columns * height
        picture = Image.open(io.BytesIO(row["image"]["bytes"])).resize((_CELL, _CELL))
        sheet.paste(picture, (x, y))
        lines = [f"{row['label']} [{row['split']}]", *wrap(row["caption"], 28)[:3], row["id"][-30:]]
        for number, line in enumerate(lines):
            draw.text((x, y + _CELL + number * _LINE), line, fill="navy" if number == 0 else "black", font=font)
    with atomic_path(out) as temporary:
        sheet.save(temporary, {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}[ending])
    return len(rows)
