"""Stability: whether two SAEs trained from different seeds find the same atoms.

Source: Paulo and Belrose, "Sparse Autoencoders Trained on the Same Data Learn Different Features", arXiv 2501.16615: decoder
directions are matched one to one by the Hungarian algorithm (Kuhn, 1955; scipy's is that of Crouse, 2016).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import InputError

SHARED_ABOVE = 0.7
"""Matched atoms with a larger cosine count as the same, as in the source."""

MOST_ATOMS = 16384
"""The exact matching holds M^2 numbers and takes some M^3 operations; beyond this it would need gigabytes and hours."""


def matching(first: Tensor, second: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The one-to-one matching of rows with the largest sum of cosines.

    Parameters
    ----------
    first, second : [M1, d], [M2, d]
        Directions of any length; rows of length 0 have no direction and are left out.

    Returns
    -------
    (rows of first, rows of second, cosines)
        min(M1, M2) pairs (fewer with zero rows), ascending in the first.

    Raises
    ------
    InputError
        If widths differ or there are more than 16,384 rows.
    """
    from scipy.optimize import linear_sum_assignment

    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"SAEs of width {first.shape[1]} and {second.shape[1]} read different models: nothing to match."
        )
    if max(len(first), len(second)) > MOST_ATOMS:
        raise InputError(
            f"Exact matching of {max(len(first), len(second)):,} atoms would take gigabytes and hours; it is offered up to "
            f"{MOST_ATOMS:,}."
        )
    kept_first, kept_second = first.norm(dim=1) > 0, second.norm(dim=1) > 0
    one, two = (part[kept].double() for part, kept in ((first, kept_first), (second, kept_second)))
    cosine = ((one / one.norm(dim=1, keepdim=True)) @ (two / two.norm(dim=1, keepdim=True)).T).cpu().numpy()
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    places = [np.flatnonzero(kept.cpu().numpy()) for kept in (kept_first, kept_second)]
    return places[0][rows], places[1][columns], cosine[rows, columns]


def stability(first: Tensor, second: Tensor) -> dict[str, float]:
    """How much two dictionaries agree.

    Returns
    -------
    dict
        ``cosine``: mean cosine of the matched pairs, 1 for the same atoms in any order; ``shared``: share of pairs above
        0.7; ``pairs``. All 0 when one of them has no directions at all.
    """
    cosines = matching(first, second)[2]
    if not len(cosines):
        return {"cosine": 0.0, "shared": 0.0, "pairs": 0}
    # Rounding puts the cosine of equal rows a little beside 1.
    cosines = cosines.clip(-1, 1)
    return {
        "cosine": float(cosines.mean()),
        "shared": float((cosines > SHARED_ABOVE).mean()),
        "pairs": len(cosines),
    }
