"""The questions the demo model is trained on. The first question of a task is the one the retrieval engine asks.

Every prompt puts the picture first and the caption last, so that one picture's prefix serves many captions.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.retrieval.fine.prompts import DESCRIBE, JUDGE, RATE, SCORE


@dataclass(frozen=True)
class JudgementQuestion:
    """A question about a picture and a caption, and the one-token answers to a match and to a mismatch."""

    question: str
    match: str
    mismatch: str


_TRUE_FALSE = (
    JUDGE,
    "Is the caption a correct description of the picture? Answer True or False.\nCaption:",
    "Look at the picture and judge the caption. Reply True if it fits and False if it does not.\nCaption:",
    "True or False: this caption belongs to the picture.\nCaption:",
)
JUDGEMENT_QUESTIONS = (
    *(JudgementQuestion(question, "True", "False") for question in _TRUE_FALSE),
    JudgementQuestion(RATE, "9", "0"),
    JudgementQuestion(SCORE, "1", "0"),
)
CHANCES = (0.5, 0.1, 0.1, 0.1, 0.12, 0.08)
"""How often each question is drawn; the default one half of the time."""

CAPTIONING = DESCRIBE
