"""Values for JSON, and stamps that tell one content of a file from another."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from engine.files import stamp, without_nan


def test_json_has_no_word_for_nan() -> None:
    nan, infinity = float("nan"), float("inf")
    value = {
        "a": (1, nan),
        "b": [np.float32(0.5), {"c": -infinity}],
        "d": np.array([[1.0, nan]]),
        "e": "nan",
        "f": None,
    }
    plain = without_nan(value | {"g": np.int64(3), "h": True})
    assert plain == {
        "a": [1, None],
        "b": [0.5, {"c": None}],
        "d": [[1.0, None]],
        "e": "nan",
        "f": None,
        "g": 3,
        "h": True,
    }
    json.dumps(plain, allow_nan=False)


def test_another_content_has_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert stamp(path) is None
    path.write_text("one")
    first = stamp(path)
    assert first is not None and stamp(path) == first
    (tmp_path / "new").write_text("two")  # as long, and as old, but another file
    os.utime(tmp_path / "new", ns=(0, first[0]))
    os.replace(tmp_path / "new", path)
    assert stamp(path) != first
