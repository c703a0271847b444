"""How the demo model is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MllmConfig:
    """How the demo model is trained.

    Attributes
    ----------
    passes : int
        Times every training picture is seen.
    group : int
        Pictures (and captions) of one group of hard negatives: group x group judgements a step.
    noise : (float, float)
        Randomness of the groups in cosine units, at the first and at the last step: easy groups first.
    rank, lora_lr, projector_lr, decay
        Of the LoRA and of AdamW.
    describe : float
        Weight of the captioning loss.
    views : int
        Other views of every training picture.
    align_steps, align_batch, align_lr
        Of the alignment.
    forget : float
        Share of a picture's patches replaced by their mean while training; against learning pictures by heart.
    every : int
        Steps between checkpoints and validations.
    """

    passes: float = 2.12
    views: int = 2
    group: int = 8
    noise: tuple[float, float] = (0.15, 0.03)
    rank: int = 16
    lora_lr: float = 4e-4
    projector_lr: float = 4e-4
    decay: float = 0.02
    describe: float = 0.3
    align_steps: int = 300
    align_batch: int = 96
    align_lr: float = 3e-3
    forget: float = 0.2
    every: int = 200
    seed: int = 0
