"""``expected``: the mean of a 0 to 9 rating over the model's own distribution (G-Eval, arXiv 2303.16634, in one token)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.retrieval.fine.answers import masses
from engine.retrieval.fine.modes.task import Task, prompts, record
from engine.retrieval.fine.reader import Lens, PromptReader
from engine.retrieval.search.events import FineRecord

DIGITS = "0123456789"


def expected(reader: PromptReader, tasks: Sequence[Task], lens: Lens | None) -> list[FineRecord]:
    """Expectation of the digit, 0 to 9, its probabilities made to sum to one; ``label_mass`` is their sum before."""
    asked = prompts(reader, tasks, "rate")
    logits = reader.read(asked, lens=lens)[:, -1]
    found = []
    for task, prompt, row in zip(tasks, asked, logits, strict=True):
        chances = masses(reader.mllm.tokenizer, row, DIGITS).double()
        total = float(chances.sum())
        ratings = torch.arange(len(DIGITS), dtype=torch.float64, device=chances.device)
        score = float(chances @ ratings) / total if total > 0 else 0.0
        found.append(record(reader, task, prompt, row, "expected", score=score, label_mass=total))
    return found
