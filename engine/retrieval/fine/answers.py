"""What a next-token distribution says about the answers that were offered: label tokens, masses, entropies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from engine.errors import AtomscopeError
from engine.retrieval.search.events import TokenChance

TOP = 10
_MARKS = " ▁Ġ"
"""How tokenizers write the space before a word."""


@lru_cache(maxsize=64)
def label_tokens(tokenizer: Any, word: str) -> tuple[int, ...]:
    """Ids of all single tokens that spell ``word``, whatever its case and with or without a space before it.

    Raises
    ------
    AtomscopeError
        If there is none.
    """
    wanted = word.casefold()
    # A cheap test first: a vocabulary has up to 250,000 entries.
    near = (item for item in tokenizer.get_vocab().items() if len(item[0]) <= len(word) + 1)
    found = tuple(sorted(token_id for token, token_id in near if token.strip(_MARKS).casefold() == wanted))
    if not found:
        raise AtomscopeError(
            f"The model's tokenizer has no single token for {word!r}, so its probability cannot be read; use the mode "
            "'likelihood' or 'generated'."
        )
    return found


@dataclass(frozen=True)
class Verdict:
    """True against False, from one next-token distribution.

    Attributes
    ----------
    log_odds : float
        logsumexp of the logits that spell True minus the same for False.
    p_true, p_false : float
        Probabilities of the spellings together.
    """

    log_odds: float
    p_true: float
    p_false: float

    @property
    def mass(self) -> float:
        """Probability of either answer."""
        return self.p_true + self.p_false

    @property
    def binary_entropy(self) -> float:
        """Of True against False after normalising, in nats."""
        p = 1 / (1 + math.exp(-max(-700.0, min(700.0, self.log_odds))))
        return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


def judge(tokenizer: Any, logits: Tensor) -> Verdict:
    """The verdict of one row of logits, float32 [vocabulary]."""
    true, false = (logits[list(label_tokens(tokenizer, word))].logsumexp(0) for word in ("true", "false"))
    total = logits.logsumexp(0)
    return Verdict(float(true - false), float((true - total).exp()), float((false - total).exp()))


def entropy(logits: Tensor) -> float:
    """Entropy of softmax(logits [vocabulary]), in nats."""
    logs = logits.log_softmax(0)
    return max(0.0, float(-(logs.exp() * logs.nan_to_num(neginf=0.0)).sum()))


def top_tokens(tokenizer: Any, logits: Tensor, count: int = TOP) -> list[TokenChance]:
    """The ``count`` likeliest next tokens, as text."""
    values, ids = logits.softmax(0).topk(min(count, len(logits)))
    return [TokenChance(tokenizer.decode([int(i)]), float(p)) for p, i in zip(values, ids, strict=True)]


def masses(tokenizer: Any, logits: Tensor, words: Sequence[str]) -> Tensor:
    """Probability of each of ``words`` (all its single-token spellings), float32 [words]."""
    logs = logits.log_softmax(0)
    return torch.stack([logs[list(label_tokens(tokenizer, word))].logsumexp(0).exp() for word in words])
