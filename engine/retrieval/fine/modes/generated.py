"""``generated``: the model writes a score between 0 and 1, and what it wrote is parsed (paper's figure, and its ablation)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from engine.retrieval.fine.modes.task import Task, prompts, record
from engine.retrieval.fine.reader import Lens, PromptReader
from engine.retrieval.search.events import FineRecord

LENGTH = 8
"""Tokens written at most: enough for "Answer: 0.87"."""

_NUMBER = re.compile(r"(?<![\w.])-?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?![\w%])")


def generated(reader: PromptReader, tasks: Sequence[Task], lens: Lens | None) -> list[FineRecord]:
    """The first number of the answer; one that is missing or outside [0, 1] counts 0 and is marked as not parsed."""
    asked = prompts(reader, tasks, "score")
    tokenizer = reader.mllm.tokenizer
    written: list[list[int]] = [[] for _ in tasks]
    open_rows = list(range(len(tasks)))
    ends = _ends(reader)
    first: FineRecord
    records: list[FineRecord] = []
    while open_rows and len(written[open_rows[0]]) < LENGTH:
        so_far = [replace(asked[row], ids=asked[row].ids + written[row]) for row in open_rows]
        logits = reader.read(so_far, lens=lens)[:, -1]
        if not records:
            for task, prompt, row_logits in zip(tasks, so_far, logits, strict=True):
                first = record(reader, task, prompt, row_logits, "generated", score=None)
                records.append(first)
        chosen = logits.argmax(dim=1).tolist()
        for row, token in zip(open_rows, chosen, strict=True):
            written[row].append(token)
        open_rows = [row for row, token in zip(open_rows, chosen, strict=True) if token not in ends]
    found = []
    for kept, tokens in zip(records, written, strict=True):
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        value = parse(text)
        found.append(replace(kept, score=value or 0.0, text=text, parsed=value is not None))
    return found


def parse(text: str) -> float | None:
    """The first number in ``text`` if it lies in [0, 1], else None. A decimal comma is read as a point."""
    match = _NUMBER.search(text)
    if match is None:
        return None
    value = float(match.group().replace(",", "."))
    return value if 0 <= value <= 1 else None


def _ends(reader: PromptReader) -> set[int]:
    """Tokens that end an answer."""
    config = reader.mllm.model.generation_config
    ends = config.eos_token_id if config is not None else None
    named = [ends] if isinstance(ends, int) else list(ends or [])
    return {*named, reader.mllm.tokenizer.eos_token_id}
