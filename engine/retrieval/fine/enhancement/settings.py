"""The two presets of visual enhancement, and what is left open in them filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.errors import InputError
from engine.retrieval.search.query import ALPHA, THRESHOLD, Enhancement, Preset


@dataclass(frozen=True)
class EnhancementSettings:
    """Visual enhancement for a decoder of a known depth.

    Attributes
    ----------
    preset : str
    alpha : float
        Share of the injected part in a layer's MLP output.
    threshold : float
        Lens entropy (0 to 1) above which it acts.
    first, last : int
        Layers after which it may act, both included; it acts in the MLP of the layer that follows.
    visual : bool
        Inject the picture's tokens only, or every input embedding.
    lens_norm : bool
        Whether the logit lens applies the final norm.
    every : bool
        Act in every layer that exceeds the threshold, not once a forward pass.
    """

    preset: Preset
    alpha: float
    threshold: float
    first: int
    last: int
    visual: bool
    lens_norm: bool
    every: bool


# Paper: visual tokens. Code: all input embeddings, a lens without the final norm.
_TOKENS: dict[Preset, Literal["visual", "all"]] = {"paper": "visual", "published-code": "all"}
_LENS_NORM: dict[Preset, bool] = {"paper": True, "published-code": False}


def resolve(enhancement: Enhancement, depth: int) -> EnhancementSettings:
    """Settings for a decoder of ``depth`` layers.

    Raises
    ------
    InputError
        If a value makes no sense.
    """
    preset = enhancement.preset
    if preset not in ALPHA:
        raise InputError(f"There is no enhancement preset {preset!r}; choose one of {', '.join(ALPHA)}.")
    alpha = ALPHA[preset] if enhancement.alpha is None else enhancement.alpha
    threshold = THRESHOLD if enhancement.threshold is None else enhancement.threshold
    low, high = enhancement.layers
    if not 0 <= alpha <= 1:
        raise InputError(f"The enhancement's alpha is a share between 0 and 1, not {alpha:g}.")
    if not 0 <= low <= high <= 1:
        raise InputError(
            f"The enhancement's layers are two fractions of the depth in ascending order, not {low:g}, {high:g}."
        )
    return EnhancementSettings(
        preset=preset,
        alpha=alpha,
        threshold=threshold,
        first=round(low * depth),
        last=min(round(high * depth), depth - 2),  # a layer must follow
        visual=(enhancement.tokens or _TOKENS[preset]) == "visual",
        lens_norm=_LENS_NORM[preset] if enhancement.lens_norm is None else enhancement.lens_norm,
        every=enhancement.gate == "every",
    )
