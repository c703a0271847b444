"""What a score mode is given, and the parts of a record that are the same in every mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from engine.retrieval.fine.answers import entropy, top_tokens
from engine.retrieval.fine.picture import PreparedPicture
from engine.retrieval.fine.prompts import Question, Statement, question_about
from engine.retrieval.fine.reader import Lens, Prompt, PromptReader
from engine.retrieval.search.events import FineRecord, Mode, PoolEntry


@dataclass(frozen=True)
class Task:
    """One candidate to judge: the statement, and its pictures in the statement's order."""

    entry: PoolEntry
    statement: Statement
    pictures: tuple[PreparedPicture, ...]


Score = Callable[[PromptReader, Sequence[Task], Lens | None], list[FineRecord]]
"""A mode: records of some tasks, in their order. ``milliseconds`` is left to the caller."""


def prompts(reader: PromptReader, tasks: Sequence[Task], question: Question) -> list[Prompt]:
    """The prompt of every task; what stands before the caption is its stem."""
    return [
        reader.prompt(
            question_about(task.statement, question),
            task.pictures,
            None
            if not task.statement.caption
            else lambda caption, task=task: question_about(replace(task.statement, caption=caption), question),  # type: ignore[misc]
        )
        for task in tasks
    ]


def record(reader: PromptReader, task: Task, prompt: Prompt, logits: Tensor, mode: Mode, **values: Any) -> FineRecord:
    """A record with what every mode knows: prompt, entropy and likeliest tokens of ``logits`` [vocabulary]."""
    return FineRecord(
        entry=task.entry,
        mode=mode,
        entropy=entropy(logits),
        top_tokens=top_tokens(reader.mllm.tokenizer, logits),
        prompt=reader.shown(prompt),
        prompt_tokens=len(prompt.ids),
        cache=prompt.reused,
        fired_layer=prompt.trace.fired,
        layer_entropy=prompt.trace.entropy,
        **values,
    )
