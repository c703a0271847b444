"""The table of items every corpus has, and the small rules its columns obey."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

TEXT_COLUMNS = ("id", "kind", "split", "label", "caption", "source", "license", "credit")
COLUMNS = (
    "id",
    "kind",
    "split",
    "label",
    "caption",
    "keywords",
    "source",
    "license",
    "credit",
    "width",
    "height",
)
"""Columns of ``Corpus.items``. Strings are "" and pixels 0 where nothing is known; ``kind`` is "image" or "text"."""

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}


_PARTS_BAD = frozenset(("", ".", ".."))
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def items_frame(columns: Mapping[str, Sequence[Any]], kind: str = "image") -> pd.DataFrame:
    """A table with exactly ``COLUMNS``, from those that are known; ``id`` must be among them."""
    count = len(columns["id"])
    frame: dict[str, Any] = {}
    for column in COLUMNS:
        known = columns.get(column)
        if column in TEXT_COLUMNS:
            values = known if known is not None else [kind if column == "kind" else ""] * count
            frame[column] = pd.array(values, dtype="str")
        elif column == "keywords":
            frame[column] = pd.Series(known if known is not None else [[] for _ in range(count)], dtype=object)
        else:
            frame[column] = pd.array(known if known is not None else [0] * count, dtype="int32")
    return pd.DataFrame(frame)


def usual_split(name: str) -> str | None:
    """The split a usual name means (``val`` is ``validation``), None if it is no usual name of a split."""
    return _SPLITS.get(name.strip().lower())


def split_name(value: Any) -> str:
    """A split as the table holds it: the usual name if there is one, else what was written."""
    written = text(value)
    return usual_split(written) or written


def text(value: Any) -> str:
    """A cell as clean text: "" for None and NaN, the first entry of a list (a data set may hold several captions)."""
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of integers with gaps comes as floats: class 3.0 is class 3
    return str(value).encode("utf-8", "replace").decode("utf-8").strip()


def captions_of(value: Any) -> list[str]:
    """All captions of a cell: of one text, of a list of texts or of COCO's sentences (``{"raw": ...}``), of such a list as
    JSON; none for an empty cell."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            listed = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            listed = None
        if isinstance(listed, list) and all(isinstance(each, (str, dict)) for each in listed):
            value = listed
    several = value if isinstance(value, (list, tuple)) else [value]
    said = (text(each.get("raw") if isinstance(each, dict) else each) for each in several)
    return [caption for caption in said if caption]


def keyword_list(value: Any) -> list[str]:
    """Keywords from a list, a JSON list, or text separated by ``;``, ``|`` or ``,``."""
    if isinstance(value, str):
        if value.startswith("["):
            try:
                return keyword_list(json.loads(value))
            except json.JSONDecodeError:
                pass
        separator = next((mark for mark in ";|" if mark in value), ",")
        value = value.split(separator)
    if not isinstance(value, Iterable):
        value = [value]
    words = (text(word) for word in value)
    return list(dict.fromkeys(word for word in words if word))


def id_fault(identity: str) -> str | None:
    """What is wrong with an id, or None. A good id is a relative path with ``/``, safe to join to a folder."""
    if not identity:
        return "is empty"
    if identity.startswith("/") or "\\" in identity or identity[1:2] == ":":
        return "is not a relative path with forward slashes"
    if not _PARTS_BAD.isdisjoint(identity.split("/")):
        return "has an empty part, '.' or '..' in its path"
    if _UNPRINTABLE.search(identity):
        return "has control characters or bytes that are not UTF-8"
    if len(identity.encode("utf-8")) > 4096:
        return "is longer than 4,096 bytes"
    return None
