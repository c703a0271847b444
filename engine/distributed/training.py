"""What of training can be shared out over processes."""

from __future__ import annotations

from collections.abc import Sequence

from engine.distributed.group import Group
from engine.errors import InputError
from engine.sae.base import SAEConfig

# Their codes compete over the whole batch, of which a process has a part only.
_WHOLE_BATCH = ("batchtopk", "matryoshka")


def check_shareable(configs: Sequence[SAEConfig], group: Group, split: str) -> None:
    """Raise an ``InputError`` for an architecture that several processes cannot train together."""
    if split not in ("tokens", "dictionary"):
        raise InputError(f"Processes share the tokens or the dictionary, not {split!r}.")
    for config in configs:
        if group.size > 1 and config.architecture in _WHOLE_BATCH:
            raise InputError(
                f"{config.architecture} chooses its active atoms over the whole batch and is trained by one process: "
                "run the same command without torchrun."
            )
