"""A batch shared out over processes: what an SAE computes from all of its tokens, it asks for here.

Every process has some of a batch's tokens. Where a loss or a count needs a sum over the whole batch (the variance that the
error is divided by, which atoms fired, how many), it calls ``total``. The gradients of the processes are then added with the
weight ``share``, the part of the batch each had, so that a mean over tokens is the mean over all. The result is that of one
process on the whole batch, but for the order in which float32 numbers are added.

Outside ``shared_batch``, that is in evaluation and wherever one process has everything, ``total`` gives back what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from engine.distributed.group import Group

_group, _share, _tokens = Group(), 1.0, 0


@contextmanager
def shared_batch(group: Group, tokens: int, of: int) -> Iterator[float]:
    """Inside, this process has ``tokens`` of the ``of`` tokens of a batch; gives its share.

    Of a batch with fewer tokens than processes every one has all: it counts as that many batches.
    """
    global _group, _share, _tokens
    if group.size == 1:
        yield 1.0
        return
    before = _group, _share, _tokens
    of = of if of >= group.size else of * group.size
    _group, _share, _tokens = group, tokens / of, of
    try:
        yield _share
    finally:
        _group, _share, _tokens = before


def total(tensor: Tensor) -> Tensor:
    """The sum of ``tensor`` over the processes that share the batch; carries no gradient where there are several."""
    return _group.sum(tensor)


def share() -> float:
    """The part of the batch that this process has."""
    return _share


def batch_tokens(own: int) -> int:
    """Tokens in the whole batch, where this process has ``own`` of them."""
    return _tokens or own


def batch_variance(u: Tensor) -> Tensor:
    """sum ||u - mean||^2 over the tokens of the whole batch, of which ``u`` [n, d] are this process's."""
    if _group.size == 1:
        return (u - u.mean(0)).square().sum()
    counted = total(torch.cat([u.detach().sum(0), u.new_tensor([len(u)])]))
    return total((u.detach() - counted[:-1] / counted[-1]).square().sum())
