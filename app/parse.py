"""Numbers from untrusted text (an address, a browser's event), parsed in this one place; None where there is none.

``int()`` and ``float()`` take more than they should ("１２", "1_0", "nan"), and ``"²".isdigit()`` is true.
"""

from __future__ import annotations

import re

_WHOLE = re.compile(r"[0-9]{1,11}")
_NUMBER = re.compile(r"[0-9]{0,11}\.?[0-9]{0,20}(?:e[+-]?[0-9]{1,3})?", re.IGNORECASE)


def whole(raw: str, end: int = 10**9) -> int | None:
    """A whole number in ``[0, end)``, written in plain digits."""
    return int(raw) if _WHOLE.fullmatch(raw) and int(raw) < end else None


def share(raw: str) -> float | None:
    """A number from 0 to 1."""
    value = _number(raw)
    return value if value is not None and value <= 1 else None


def positive(raw: str, end: float = 1_000) -> float | None:
    """A number above 0 and below ``end``."""
    value = _number(raw)
    return value if value is not None and 0 < value < end else None


def _number(raw: str) -> float | None:
    """A number of 0 or more in plain digits, with a point or an exponent."""
    try:
        return float(raw) if _NUMBER.fullmatch(raw) else None
    except ValueError:  # a point without a digit
        return None
