"""How numbers are written."""

from __future__ import annotations

import math

import pytest

from app.ui import compact, number, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234, "1,234"),
        (-3, "−3"),
        (0.03123, "0.0312"),
        (12345.6, "12,346"),
        (1.2e-6, "1.2e−06"),
        (math.nan, "–"),
        (None, "–"),
        (0, "0"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.5, "50%"),
        (1, "100%"),
        (0.998, "99.8%"),
        (0.9999999, "99.99%"),
        (0.00345, "0.34%"),
        (0, "0%"),
        (1e-8, "1e-06%"),
        (math.nan, "–"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(("value", "text"), [(950, "950"), (12_345, "12.3k"), (4_100_000, "4.1M"), (2e9, "2G")])
def test_compact(value: float, text: str) -> None:
    assert compact(value) == text
