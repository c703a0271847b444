"""Captions files: which picture has which captions. One reader for side-cars of image folders and for benchmarks.

Tables (CSV, TSV, JSON lines, Parquet), COCO's captions JSON, Karpathy's splits, and Flickr30k's token file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.corpus.items import captions_of, split_name, text
from engine.corpus.tables import SUFFIXES as TABLES
from engine.corpus.tables import clean, read_lines, read_table, recognise, separator_of
from engine.errors import InputError
from engine.files import read_json

SUFFIXES = (*TABLES, ".json", ".txt", ".token")
AUTOMATIC = frozenset(stem + suffix for stem in ("captions", "metadata") for suffix in TABLES)
"""File names found without being named; ``metadata.*`` with a ``file_name`` column is the imagefolder convention of
Hugging Face's datasets library."""

_TOKEN = re.compile(r"([^\t]+\.\w+)#\d+\t")
"""How a line of Flickr30k's token file begins: the picture, the number of the caption, a tab."""
_NUMBERED = re.compile(r"(\.\w+)#\d+$")


@dataclass(frozen=True, slots=True)
class CaptionRow:
    """One entry of a captions file.

    Attributes
    ----------
    file : str
        The picture's name as written.
    known : dict
        What is known of it, by item column; of several captions the first.
    captions : tuple of str
        All captions of the entry.
    """

    file: str
    known: dict[str, Any]
    captions: tuple[str, ...] = ()


def is_captions_file(path: Path) -> bool:
    """Whether a file is named like one and, where texts are named so too (.txt), begins like one. Parquet is a data set."""
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in SUFFIXES or suffix == ".parquet":
        return False
    if suffix != ".txt":
        return True
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline().rstrip("\r\n")
    return bool(_TOKEN.match(first)) or {"file", "caption"} <= set(recognise(first.split(separator_of(first))))


def read_captions(path: Path, needed: Sequence[str] = ()) -> list[CaptionRow]:
    """All rows of a captions file, in its order; a picture with several captions may have several rows.

    Parameters
    ----------
    needed : sequence of str
        What every row must have beside the picture's name ("caption"). Else a row of a table may end early.

    Raises
    ------
    InputError
        If the file cannot be parsed, a row has more cells than the header or ends before a needed one, or no column names
        the images.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path} is no caption file: use {', '.join(SUFFIXES)}.")
    if suffix == ".json":
        return _read_json(path)
    if suffix in (".txt", ".token") and _TOKEN.match(next(read_lines(path), "")):
        return _read_token(path)
    return _read_table(path, needed)


def _read_table(path: Path, needed: Sequence[str]) -> list[CaptionRow]:
    columns, table = read_table(path, ("file", *needed))
    known = recognise(columns)
    file = known.pop("file", None)
    has = f"its columns: {', '.join(columns)}" if columns else "it is empty"
    if file is None:
        raise InputError(f"{path} has no column that names the images: call it file_name ({has}).")
    for meaning in needed:
        if meaning not in known:
            raise InputError(f"{path} has no column of {meaning}s: call it {meaning} ({has}).")
    caption = known.get("caption")
    return [
        CaptionRow(
            _NUMBERED.sub(r"\1", text(row.get(file))),
            {meaning: clean(meaning, row.get(name)) for meaning, name in known.items()},
            tuple(captions_of(row.get(caption))) if caption is not None else (),
        )
        for row in table
    ]


def _read_token(path: Path) -> list[CaptionRow]:
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        match = _TOKEN.match(line)
        if match is not None:
            rows.append(_row(match[1], [line[match.end() :].strip()]))
        elif line.strip():
            raise InputError(f"{path}, line {number}: not a picture's name, #, a number, a tab and a caption.")
    return rows


def _read_json(path: Path) -> list[CaptionRow]:
    document = read_json(path)
    try:
        if "annotations" in document:
            files = {image["id"]: str(image["file_name"]) for image in document["images"]}
            known = [note for note in document["annotations"] if note["image_id"] in files]
            return [_row(files[note["image_id"]], [str(note["caption"]).strip()]) for note in known]
        return [
            _row(
                "/".join(part for part in (image.get("filepath", ""), image["filename"]) if part),
                [str(sentence["raw"]).strip() for sentence in image["sentences"]],
                # Karpathy's "restval" is training material.
                "train" if image.get("split") == "restval" else split_name(image.get("split", "")),
            )
            for image in document["images"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path} is neither a COCO captions file ("images" with id and file_name, "annotations" with image_id and '
            f"caption) nor one of Karpathy's splits ({type(error).__name__}: {error})."
        ) from None


def _row(file: str, captions: list[str], split: str = "") -> CaptionRow:
    said = tuple(caption for caption in captions if caption)
    return CaptionRow(file, {"caption": said[0] if said else "", "split": split}, said)
