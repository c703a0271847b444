"""How much of the activations a reconstruction explains.

Centred and uncentred figures differ widely where activations share a large mean (0.78 against 0.98 has been seen), so the
plain names here always mean the centred ones.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fvu(x: Tensor, x_hat: Tensor) -> float:
    """Fraction of variance unexplained, also called (centred) NMSE.

    sum ||x - x_hat||^2 / sum ||x - mean||^2 over tokens, the mean taken over the same tokens.

    Parameters
    ----------
    x, x_hat : [N, d]
        Activations and their reconstruction.

    Returns
    -------
    float
        0 for a perfect reconstruction, 1 for predicting the mean; NaN when all tokens are equal.
    """
    return _sums(x, x_hat).fvu


def explained_variance(x: Tensor, x_hat: Tensor) -> float:
    """1 - ``fvu``: centred, so predicting the mean scores 0."""
    return _sums(x, x_hat).explained_variance


def explained_variance_uncentred(x: Tensor, x_hat: Tensor) -> float:
    """1 - sum ||x - x_hat||^2 / sum ||x||^2: predicting zero scores 0, and predicting a large mean scores near 1.

    This is the figure that the published code of arXiv 2604.14925 logs.
    """
    return _sums(x, x_hat).explained_variance_uncentred


def _sums(x: Tensor, x_hat: Tensor) -> ReconstructionSums:
    sums = ReconstructionSums(x.shape[1])
    sums.add(x, x_hat)
    return sums


class ReconstructionSums:
    """The sums behind the figures above, over any number of batches, in float64.

    The centred total is merged from batch to batch by the update of Chan, Golub and LeVeque (1979), because
    sum ||x||^2 - n ||mean||^2 would cancel where the mean is large.

    Parameters
    ----------
    d_model : int
        Width of the activations.
    """

    def __init__(self, d_model: int) -> None:
        self.tokens = 0
        self._mean = torch.zeros(d_model, dtype=torch.float64)
        self._centred = self._uncentred = self._error = 0.0

    def add(self, x: Tensor, x_hat: Tensor) -> None:
        """Add one batch: x and x_hat, [N, d]."""
        count = len(x)
        if count == 0:
            return
        x = x.detach().double().cpu()
        mean = x.mean(0)
        shift = mean - self._mean
        total = self.tokens + count
        self._centred += (x - mean).square().sum().item()
        self._centred += shift.square().sum().item() * self.tokens * count / total
        self._uncentred += x.square().sum().item()
        self._error += (x - x_hat.detach().double().cpu()).square().sum().item()
        self._mean += shift * (count / total)
        self.tokens = total

    @property
    def fvu(self) -> float:
        return self._error / self._centred if self._centred > 0 else float("nan")

    @property
    def explained_variance(self) -> float:
        return 1 - self.fvu

    @property
    def explained_variance_uncentred(self) -> float:
        return 1 - self._error / self._uncentred if self._uncentred > 0 else float("nan")
