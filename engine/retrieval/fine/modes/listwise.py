"""``listwise``: all candidates in one prompt, numbered; the answer is a number (published image -> text path).

Models favour places in a list, so the prompt is read in several orders, each a rotation of the one before, and the
probabilities are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.errors import AtomscopeError
from engine.retrieval.fine.answers import masses
from engine.retrieval.fine.modes.task import Task, record
from engine.retrieval.fine.prompts import list_captions, list_pictures
from engine.retrieval.fine.reader import Lens, Prompt, PromptReader
from engine.retrieval.search.events import FineRecord

ORDERS = 4
"""Orders a list is read in, at most; spread evenly over its rotations."""

LONGEST = 9
"""Options of one list: their numbers are single tokens."""


def listwise(reader: PromptReader, tasks: Sequence[Task], lens: Lens | None) -> list[FineRecord]:
    """Probability of the candidate's number among all numbers, averaged over the orders."""
    if len(tasks) > LONGEST:
        raise AtomscopeError(f"The mode 'listwise' reads at most {LONGEST} candidates at once, not {len(tasks)}.")
    asked, orders = [], rotations(len(tasks))
    for order in orders:
        asked.append(_prompt(reader, [tasks[i] for i in order]))
    numbers = [str(number) for number in range(1, len(tasks) + 1)]
    chances = torch.zeros(len(orders), len(tasks), dtype=torch.float64)
    offered = []
    rows = reader.read(asked, lens=lens)[:, -1]
    for place, (order, logits) in enumerate(zip(orders, rows, strict=True)):
        found = masses(reader.mllm.tokenizer, logits, numbers).double().cpu()
        offered.append(float(found.sum()))
        chances[place, order] = found / found.sum().clamp(min=1e-12)
    mass = sum(offered) / len(offered)
    scores = chances.mean(dim=0).tolist()
    return [
        record(reader, task, asked[0], rows[0], "listwise", score=score, label_mass=mass)
        for task, score in zip(tasks, scores, strict=True)
    ]


def rotations(count: int, most: int = ORDERS) -> list[list[int]]:
    """At most ``most`` rotations of 0 ... count - 1, evenly spread, the unrotated first."""
    used = min(count, most)
    starts = [place * count // used for place in range(used)]
    return [[(start + i) % count for i in range(count)] for start in starts]


def _prompt(reader: PromptReader, tasks: Sequence[Task]) -> Prompt:
    statements = [task.statement for task in tasks]
    if all(statement.pictures == ("query",) for statement in statements):
        captions = [statement.caption for statement in statements]
        return reader.prompt(list_captions(captions), tasks[0].pictures, lambda caption: list_captions([caption]))
    if all(statement.pictures == ("candidate",) for statement in statements):
        limit = reader.mllm.pictures
        if len(tasks) > limit:
            raise AtomscopeError(
                f"The mode 'listwise' would show {len(tasks)} pictures at once and this model reads {limit}; "
                "use 'log-odds'."
            )
        pictures = [picture for task in tasks for picture in task.pictures]
        return reader.prompt(list_pictures(len(tasks), statements[0].caption), pictures)
    raise AtomscopeError(
        "The mode 'listwise' compares captions of one picture, or pictures for one caption; use 'log-odds' here."
    )
