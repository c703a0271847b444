"""Numbers of strangers: what counts as one, and None for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.parse import positive, share, whole

STRANGE = [
    "",
    " 1",
    "1\n",
    "+1",
    "-1",
    "1_0",
    "１２",
    "²",
    "٣",
    "nan",
    "inf",
    "-inf",
    "0x1",
    "1e",
    ".",
    "e1",
    "1,5",
    "1" * 40,
]


@pytest.mark.parametrize("raw", STRANGE)
def test_what_is_no_number(raw: str) -> None:
    assert whole(raw) is None and share(raw) is None and positive(raw) is None


def test_numbers() -> None:
    assert (whole("0"), whole("007"), whole("12", 12), whole("11", 12), whole("1.0")) == (0, 7, None, 11, None)
    assert (whole("1000000000"), whole("999999999")) == (None, 999_999_999)
    assert (share("0"), share("1"), share(".5"), share("1e-3"), share("1.1"), share("-0.1")) == (
        0.0,
        1.0,
        0.5,
        0.001,
        None,
        None,
    )
    assert (positive("0"), positive("2.5"), positive("1e-05"), positive("1000"), positive("1e99")) == (
        None,
        2.5,
        1e-5,
        None,
        None,
    )


@given(st.text(max_size=20))
def test_nothing_raises(raw: str) -> None:
    for parse in (whole, share, positive):
        value = parse(raw)
        assert value is None or value >= 0


@given(st.floats(0, 1), st.integers(0, 10**9 - 1))
def test_what_an_address_writes_is_read(value: float, number: int) -> None:
    written = f"{value:g}"
    assert share(written) == float(written)
    assert whole(str(number)) == number
