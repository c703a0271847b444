"""Checks of what several processes can train together."""

from __future__ import annotations

from collections.abc import Sequence

from engine.distributed import Group
from engine.errors import InputError
from engine.sae import SAEConfig

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


def check_splittable(config: SAEConfig, group: Group) -> None:
    """Raise an ``InputError`` for an SAE whose dictionary cannot be split over ``group``."""
    if config.architecture not in ("topk", "sparsemax"):
        raise InputError(
            f"The dictionary of {config.architecture} cannot be split over processes; topk and sparsemax can."
        )
    if getattr(config, "gate", "none") != "none":
        raise InputError("A sparsemax SAE with a gate cannot be split over processes: train it with --gate none.")
    if config.n_atoms % group.size:
        raise InputError(
            f"{config.n_atoms} atoms cannot be split evenly over {group.size} processes: choose --atoms so."
        )
