"""Fine scores, one way a file. Every way reads prompts through the same reader and fills the same record."""

from __future__ import annotations

from engine.retrieval.events import Mode
from engine.retrieval.modes.expected import expected
from engine.retrieval.modes.generated import generated
from engine.retrieval.modes.likelihood import likelihood
from engine.retrieval.modes.listwise import listwise
from engine.retrieval.modes.task import Score, Task
from engine.retrieval.modes.verdicts import log_odds, posterior, true_false

SCORES: dict[Mode, Score] = {
    "log-odds": log_odds,
    "posterior": posterior,
    "true-false": true_false,
    "generated": generated,
    "expected": expected,
    "likelihood": likelihood,
    "listwise": listwise,
}

__all__ = ["SCORES", "Score", "Task"]
