"""One run on many processes, started by torchrun: who takes which part, and what they must add up."""

from engine.distributed.group import ALONE, Group, joined
from engine.distributed.sharing import batch_tokens, batch_variance, share, shared_batch, total

__all__ = ["ALONE", "Group", "batch_tokens", "batch_variance", "joined", "share", "shared_batch", "total"]
