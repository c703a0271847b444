"""Statistics of the whole batch, for a forward pass that sees only a part of its tokens.

Some losses and counts need sums over all tokens of a batch: the variance that the error is divided by, which atoms fired, on
how many tokens. Every pass is handed the object that knows them. An SAE knows nothing of processes.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class BatchStatistics:
    """Sums over the tokens of a batch; this class is for a pass that sees all of them, and is exact without any exchange.

    Training on several processes hands the passes a subclass, see ``engine.training.parallel.shared_batch``.

    Attributes
    ----------
    share : float
        The part of the batch's tokens that the pass sees. The gradient of the whole batch is the sum of the parts' gradients,
        each times its share; a loss that is a mean over tokens needs nothing else.
    """

    share: float = 1.0

    def tokens(self, own: int) -> int:
        """Tokens in the whole batch, of which the pass sees ``own``."""
        return own

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over the parts of the batch of each part's ``tensor``, a count or a sum over its own tokens."""
        return tensor

    def variance(self, u: Tensor) -> Tensor:
        """sum ||u - mean||^2 over the tokens of the whole batch, of which ``u`` [n, d] are those that the pass sees."""
        return (u - u.mean(0)).square().sum()


WHOLE_BATCH = BatchStatistics()
