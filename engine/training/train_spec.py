"""``TrainSpec``: one SAE to train, with the settings that differ from those of the SAEs trained beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import InputError
from engine.sae import SAEConfig


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """One SAE to train. Settings that are None come from the ``TrainConfig`` that all SAEs of the run share."""

    config: SAEConfig

    name: str | None = None
    """Folder of its own inside the run; None takes the architecture, see ``run_names``."""

    seed: int | None = None
    """Seed of the initialisation. The order of the tokens has the shared seed."""

    lr: float | None = None
    """Peak learning rate."""

    def __post_init__(self) -> None:
        if self.seed is not None and self.seed < 0:
            raise InputError("training: seed must not be negative.")
        if self.lr is not None and not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError("training: lr must be positive.")

    def to_dict(self) -> dict[str, Any]:
        """Its config and its own settings, JSON-ready: what decides the result beside the ``TrainConfig``."""
        own = {"seed": self.seed, "lr": self.lr}
        return self.config.to_dict() | {key: value for key, value in own.items() if value is not None}


def run_names(specs: Sequence[TrainSpec]) -> list[str]:
    """A folder name for each SAE: its own name, or its architecture, numbered from the second of a kind on.

    Raises
    ------
    InputError
        If two have the same name.
    """
    seen: Counter[str] = Counter()
    names = []
    for spec in specs:
        if spec.name is not None:
            names.append(spec.name)
            continue
        kind = spec.config.architecture
        seen[kind] += 1
        names.append(kind if seen[kind] == 1 else f"{kind}-{seen[kind]}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"Two SAEs of one training are called {twice[0]!r}: give them different names.")
    return names
