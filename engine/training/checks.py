"""Reject NaN and infinite activations when a batch is read, before they reach a weight."""

from __future__ import annotations

import math

import torch

from engine.activations import ActivationStore, TokenBatch
from engine.errors import AtomscopeError


def check_finite(batch: TokenBatch, store: ActivationStore) -> None:
    """Raise an error that names the shard and row of the first NaN or infinite activation.

    One sum per batch: it is finite unless an entry is not, or the numbers are so large that they overflow together.

    Raises
    ------
    AtomscopeError
        If an activation is NaN or infinite.
    """
    if math.isfinite(batch.x.sum().item()):
        return
    bad = (~torch.isfinite(batch.x)).any(1).nonzero()[:, 0]
    if not len(bad):
        return
    token = int(batch.tokens[int(bad[0])])
    shard, row = store.locate(token // store.n_positions)
    raise AtomscopeError(
        f"{store.path / shard} holds an activation that is NaN or infinite, in row {row} at position "
        f"{token % store.n_positions} (item {token // store.n_positions}). Extract the activations again."
    )
