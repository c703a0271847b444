"""How a column of ``atoms.parquet`` becomes a colour or a coordinate: log or linear, its limits, its ticks."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from app.ui.colours import OKABE_ITO

CATEGORICAL = {"cluster": "cluster", "top_label": "heaviest class label", "status": "status"}
"""Columns that name a category, with the words a person reads."""

MAX_CATEGORIES = 8


@dataclass(frozen=True)
class Scale:
    """A continuous scale. ``low`` and ``high`` are in the units of the column, also when ``log``."""

    column: str
    log: bool
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Category:
    """One colour of a categorical scale. ``color`` is empty for the eighth: it takes the theme's text colour."""

    name: str
    count: int
    color: str


def is_heavy_tailed(values: np.ndarray) -> bool:
    """Whether a quantity that is never negative, and mostly positive, has its 99th percentile above five medians."""
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() < 0:
        return False
    middle, high = np.quantile(finite, [0.5, 0.99])
    return bool(middle > 0 and high > 5 * middle)


def color_scale(values: pd.Series) -> Scale:
    """Colours of a column: log when it is heavy-tailed; limits at the 1st and 99th percentile, so that an outlier does not
    flatten the rest. ``values``: one number per atom, NaN where it has none."""
    return _scale(values, log=is_heavy_tailed(values.to_numpy(dtype=np.float64)), robust=True)


def axis_scale(values: pd.Series) -> Scale:
    """A coordinate axis for a column: log when nothing is negative and the positive values span a factor of ten or more;
    limits at the extremes."""
    array = values.to_numpy(dtype=np.float64)
    finite = array[np.isfinite(array)]
    positive = finite[finite > 0]
    log = bool(positive.size and finite.min() >= 0 and positive.max() / positive.min() >= 10)
    return _scale(values, log=log, robust=False)


def _scale(values: pd.Series, log: bool, robust: bool) -> Scale:
    array = values.to_numpy(dtype=np.float64)
    shown = array[np.isfinite(array) & (array > 0 if log else True)]
    if not shown.size:
        return Scale(str(values.name), False, 0.0, 1.0, ((0.0, "0"), (1.0, "1")))
    low, high = (float(v) for v in (np.quantile(shown, [0.01, 0.99]) if robust else (shown.min(), shown.max())))
    if low == high:
        margin = abs(low) * 0.5 or 0.5
        low, high = low - margin * (not log), high + margin
    ticks = tuple((tick, short_number(tick)) for tick in (_log_ticks if log else _linear_ticks)(low, high))
    return Scale(str(values.name), log, low, high, ticks)


def categories_of(atoms: pd.DataFrame, column: str, names: dict[Any, str]) -> tuple[np.ndarray, list[Category]]:
    """Category of every atom, and the at most eight categories that get a colour of their own.

    Parameters
    ----------
    atoms : ``atoms.parquet``
    column : one of ``CATEGORICAL``
    names : words for the values of the column; values without words are shown as they are

    Returns
    -------
    codes : int16, index into the categories, -1 for everything else (drawn grey)
    categories : most frequent first
    """
    values = atoms[column]
    nothing = values.isna() | (values == (-1 if column == "cluster" else ""))
    counts = values[~nothing].value_counts()
    top = counts.index[:MAX_CATEGORIES]
    codes = top.get_indexer(pd.Index(values)).astype(np.int16)
    colors = (*OKABE_ITO, "")
    return codes, [
        Category(names.get(value) or str(value), int(counts.iloc[i]), colors[i]) for i, value in enumerate(top)
    ]


def short_number(value: float) -> str:
    """A number as an axis shows it: ``12k``, ``0.25``, ``3e-5``."""
    magnitude = abs(value)
    if magnitude and (magnitude < 1e-3 or magnitude >= 1e6):
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if magnitude >= 1000:
        return f"{value / 1000:.3g}k"
    return f"{value:.3g}"


def as_json(scale: Scale) -> dict[str, Any]:
    """The scale for the browser."""
    return asdict(scale)


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max((last - first) // 5, 1)
    decades = [10.0**e for e in range(first, last + 1, stride) if low <= 10.0**e <= high]
    if len(decades) >= 3:
        return decades
    between = [f * 10.0**e for e in range(first, last + 1) for f in (1, 2, 5) if low <= f * 10.0**e <= high]
    return between if len(between) >= 2 else [low, high]


def _linear_ticks(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next((factor for factor in (1, 2, 5) if (high - low) / (step * factor) <= 5), 10)
    first = math.ceil(low / step - 1e-9)
    digits = 1 - math.floor(math.log10(step))
    return [round(i * step, digits) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]
