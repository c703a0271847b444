"""A query, and the options of a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from PIL import Image

from engine.errors import InputError
from engine.retrieval.search.events import MODES, Mode

LONGEST = 2_000
"""Characters of a query text that are read: longer ones are refused with a sentence, not silently cut."""

Preset = Literal["paper", "published-code"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
View = Literal["auto", "image", "text", "both"]

# Paper: alpha 0.3. Code: 0.12 in most of its scripts. Both act above the same lens entropy.
ALPHA: dict[Preset, float] = {"paper": 0.3, "published-code": 0.12}
THRESHOLD = 0.75


def check_words(text: str, pictured: bool) -> None:
    """Refuse the words of a query that are too long, or none where there is no picture either.

    Raises
    ------
    InputError
    """
    if not text.strip() and not pictured:
        raise InputError("The query is empty: write what you look for, or give an image.")
    if len(text) > LONGEST:
        raise InputError(
            f"The query has {len(text):,} characters; at most {LONGEST:,} are read. Shorten it to a few sentences."
        )


@dataclass(frozen=True)
class Query:
    """Text, an image, or both.

    Raises
    ------
    InputError
        If it is empty or too long.
    """

    text: str = ""
    image: Image.Image | None = None
    answer: int | None = None
    """The corpus row this query is known to ask for, when it was made from one."""

    def __post_init__(self) -> None:
        check_words(self.text, self.image is not None)

    @property
    def kind(self) -> str:
        """ "text", "image" or "both"."""
        if self.image is None:
            return "text"
        return "both" if self.text.strip() else "image"


@dataclass(frozen=True, kw_only=True)
class Enhancement:
    """Visual enhancement (RetLLM, arXiv 2602.22278): visual tokens injected again into a layer's MLP output.

    Attributes
    ----------
    preset : str
        "paper" (Delta(x) = sum phi(<x, z>) z) or "published-code" (averaged weights, see ``enhancement``).
    alpha, threshold : float or None
        Share of the injected part; lens entropy above which it acts. None: the preset's own.
    layers : (float, float)
        Where it may act, as fractions of the depth.
    tokens : str
        "visual" or "all" input embeddings are injected; None: the preset's own.
    lens_norm : bool or None
        Whether the logit lens applies the final norm; None: the preset's own.
    gate : str
        "once" a forward, or "every" layer that exceeds the threshold.
    """

    preset: Preset = "paper"
    alpha: float | None = None
    threshold: float | None = None
    layers: tuple[float, float] = (5 / 28, 16 / 28)
    tokens: Literal["visual", "all"] | None = None
    lens_norm: bool | None = None
    gate: Literal["once", "every"] = "once"


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How a search runs.

    Attributes
    ----------
    top_k : int
        Size of the coarse pool; cut to the size of the gallery.
    mode : str
        Fine score, one of ``MODES``; "" takes the model's own default (log-odds unless its folder says otherwise).
    fine : bool
        False: the coarse stage only.
    enhancement : Enhancement or None
        None: off. On, every candidate is also scored without it, so that both can be shown.
    tie_rule : bool
        Lowest entropy first among equal best scores (paper).
    skip_margin : float or None
        Skip the fine stage when the first coarse cosine leads by at least this much. None: never.
    stop_lead : float or None
        Stop when the best fine score leads the second by at least this much and at least two are scored. None: never.
    view : str
        What of a candidate the model reads: its "image", its caption ("text"), "both", or "auto" (what the query is not).
    split : str
        Search only items of this split; "" all.
    batch : int
        Candidates a forward pass.
    trace : bool
        Record the logit-lens entropy of every layer even without enhancement.
    """

    top_k: int = 5
    mode: Mode | Literal[""] = ""
    fine: bool = True
    enhancement: Enhancement | None = None
    tie_rule: bool = True
    skip_margin: float | None = None
    stop_lead: float | None = None
    view: View = "auto"
    split: str = ""
    batch: int = 5
    trace: bool = False
    weights: tuple[float, float] = field(default=(0.8, 0.7))
    """Share of the image in a mixed query and in a mixed candidate (published: 0.8 and 0.7)."""

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise InputError(f"The pool needs at least one candidate, not {self.top_k}.")
        if self.mode and self.mode not in MODES:
            raise InputError(f"There is no score mode {self.mode!r}; choose one of {', '.join(MODES)}.")
