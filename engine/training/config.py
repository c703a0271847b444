"""Settings of a training run, and the learning-rate schedule they describe."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train. What to train is the ``SAEConfig``; every SAE of one run shares these settings."""

    epochs: float = 10.0
    """Passes over the training tokens; ignored when ``tokens`` is given."""

    tokens: int | None = None
    """Training tokens to see in all, counting repeats."""

    batch_tokens: int = 4096
    """Tokens a step."""

    lr: float = 4e-4
    """Peak learning rate of Adam. The published code of the sparsemax SAE uses 4e-4, its paper 3e-4."""

    warmup_steps: int = 500
    """Steps over which the learning rate rises linearly from zero; at most a tenth of the run is used."""

    decay_share: float = 0.2
    """Last share of the run over which the learning rate falls linearly to zero."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay rates."""

    grad_clip: float = 1.0
    """Longest gradient, all parameters of one SAE together; longer ones are shortened to it. 0 switches it off."""

    seed: int = 0
    """Seeds the initialisation and the order of the tokens."""

    init_tokens: int = 65536
    """Training tokens that the input normalisation and a start from data are measured on."""

    dead_window: int = 1_000_000
    """The log calls an atom dead when it did not fire on this many last training tokens."""

    validation_tokens: int = 32768
    """Tokens of the validation split that the held-out NMSE is measured on (fewer if the split is smaller)."""

    log_every: int = 25
    """Steps between two rows of the log."""

    validate_every: int = 250
    """Steps between two measurements on the validation split."""

    checkpoint_minutes: float = 5.0
    """Minutes between two checkpoints. When they fall does not change the result."""

    device: str = "auto"
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``."""

    dtype: str = "float32"
    """Storage type of the finished weights, ``float32``, ``float16`` or ``int8``. Training itself is in float32."""

    precision: str = "float32"
    """``float32``, or ``bf16``: on a GPU, matrix products take factors of 16 bits and sum in 32. Weights, Adam's moments,
    thresholds and losses stay float32."""

    def __post_init__(self) -> None:
        checks = {
            "epochs must be positive": self.epochs > 0,
            "tokens must be positive": self.tokens is None or self.tokens > 0,
            "batch_tokens must be at least 1": self.batch_tokens >= 1,
            "lr must be positive": math.isfinite(self.lr) and self.lr > 0,
            "warmup_steps must not be negative": self.warmup_steps >= 0,
            "decay_share must lie in [0, 1]": 0 <= self.decay_share <= 1,
            "grad_clip must not be negative": self.grad_clip >= 0,
            "precision must be float32 or bf16": self.precision in ("float32", "bf16"),
            "seed must not be negative": self.seed >= 0,
            "init_tokens must be at least 2": self.init_tokens >= 2,
            "log_every and validate_every must be at least 1": min(self.log_every, self.validate_every) >= 1,
            "dtype must be float32, float16 or int8": self.dtype in ("float32", "float16", "int8"),
        }
        for sentence, holds in checks.items():
            if not holds:
                raise InputError(f"training: {sentence}.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self) | {"betas": list(self.betas)}

    def total_tokens(self, available: int) -> int:
        """Training tokens to see, where the store has ``available``."""
        return self.tokens if self.tokens is not None else max(math.ceil(self.epochs * available), 1)

    def total_steps(self, available: int) -> int:
        """Steps that ``total_tokens`` take; the last batch of every pass may be smaller than ``batch_tokens``."""
        passes, rest = divmod(self.total_tokens(available), available)
        return passes * -(-available // self.batch_tokens) + -(-rest // self.batch_tokens)

    def learning_rate(self, step: int, total_steps: int) -> float:
        """Learning rate of step ``step`` (from 0): linear warm-up, constant, linear decay over the last share."""
        warmup = min(self.warmup_steps, total_steps // 10)
        rise = (step + 1) / warmup if step < warmup else 1.0
        decay = self.decay_share * total_steps
        fall = (total_steps - step) / decay if decay > 0 and total_steps - step < decay else 1.0
        return self.lr * min(rise, fall)
