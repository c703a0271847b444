"""How many atoms a token activates, and how often an atom fires."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from kernels.codes import SparseCodes

DENSE_ABOVE = 0.1
RARE_BELOW = 1e-5
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class FiringCounts:
    """L0 and firing counts over any number of batches; memory grows with M, not with the tokens.

    Attributes
    ----------
    fired : int64 [M]
        Tokens on which each atom fired, that is, was in the token's support.
    l0_histogram : int64 [M + 1]
        Tokens by support size.
    """

    def __init__(self, n_atoms: int) -> None:
        self.fired = np.zeros(n_atoms, dtype=np.int64)
        self.l0_histogram = np.zeros(n_atoms + 1, dtype=np.int64)

    def add(self, codes: SparseCodes) -> None:
        """Add the codes of one batch."""
        self.fired += torch.bincount(codes.col.long(), minlength=len(self.fired)).cpu().numpy()
        self.l0_histogram += torch.bincount(codes.l0, minlength=len(self.l0_histogram)).cpu().numpy()

    @property
    def tokens(self) -> int:
        """Tokens counted."""
        return int(self.l0_histogram.sum())

    @property
    def dead(self) -> int:
        """Atoms that never fired."""
        return int((self.fired == 0).sum())

    @property
    def dense(self) -> int:
        """Atoms that fired on more than 10% of the tokens."""
        return int((self.fired > DENSE_ABOVE * self.tokens).sum())

    @property
    def rare(self) -> int:
        """Atoms that fired, but on fewer than one token in 100,000."""
        return int(((self.fired > 0) & (self.fired < RARE_BELOW * self.tokens)).sum())


def l0_mean(histogram: NDArray[np.int64]) -> float:
    """Mean support size from counts of tokens by support size; NaN without tokens."""
    tokens = histogram.sum()
    return float((histogram * np.arange(len(histogram))).sum() / tokens) if tokens else float("nan")


def l0_quantiles(histogram: NDArray[np.int64], quantiles: tuple[float, ...] = QUANTILES) -> dict[str, int]:
    """Quantiles of the support size: for each q the least size that at least a share q of the tokens does not exceed.

    Keys read ``"0.05"``. This is the inverse of the empirical distribution function (Hyndman and Fan, 1996, type 1), so
    every quantile is a size that occurs.
    """
    reached = np.cumsum(histogram)
    if not len(reached) or reached[-1] == 0:
        return {}
    # Rounded up with a margin for q * tokens that floating point puts just above a whole number.
    wanted = [max(int(np.ceil(q * reached[-1] - 1e-9)), 1) for q in quantiles]
    return {f"{q:g}": int(np.searchsorted(reached, count)) for q, count in zip(quantiles, wanted, strict=True)}


def l0_bins(histogram: NDArray[np.int64]) -> dict[str, int]:
    """Tokens by support size in bins that double: ``"0"``, ``"1"``, ``"2-3"``, ``"4-7"``, ...; empty ones left out."""
    sizes = np.flatnonzero(histogram)
    bins: dict[str, int] = {}
    for size in sizes:
        low = 1 << (int(size).bit_length() - 1) if size else 0
        name = str(low) if low < 2 else f"{low}-{2 * low - 1}"
        bins[name] = bins.get(name, 0) + int(histogram[size])
    return bins
