"""Score modes, one per file. Every mode reads prompts with the same reader and fills the same record."""

from __future__ import annotations

from engine.retrieval.fine.modes.expected import expected
from engine.retrieval.fine.modes.generated import generated
from engine.retrieval.fine.modes.likelihood import likelihood
from engine.retrieval.fine.modes.listwise import listwise
from engine.retrieval.fine.modes.task import Score, Task
from engine.retrieval.fine.modes.verdicts import log_odds, posterior, true_false
from engine.retrieval.search.events import Mode

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
