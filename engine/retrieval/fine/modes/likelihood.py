"""``likelihood``: how likely the caption is as a description of the picture (VisualGPTScore, arXiv 2306.01879).

One picture against many captions favours short and common captions; there the same without the picture is subtracted, which
leaves how much the picture speaks for the caption (pointwise mutual information, a token).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from engine.errors import AtomscopeError
from engine.retrieval.fine.modes.task import Task, record
from engine.retrieval.fine.picture import PreparedPicture
from engine.retrieval.fine.prompts import DESCRIBE
from engine.retrieval.fine.reader import Lens, Prompt, PromptReader
from engine.retrieval.search.events import FineRecord

_LOGITS = 2**26
"""Logits a forward pass may make: 256 MiB of float32."""


def likelihood(reader: PromptReader, tasks: Sequence[Task], lens: Lens | None) -> list[FineRecord]:
    """Mean log-probability of the caption's tokens, in nats per token; of a picture's captions, minus the same unseen."""
    for task in tasks:
        if task.statement.about != "caption":
            raise AtomscopeError(
                "The mode 'likelihood' needs one picture and one caption; for two pictures or two texts use 'log-odds'."
            )
    captions = [task.statement.caption for task in tasks]
    seen = _means(reader, [task.pictures for task in tasks], captions, lens)
    # Where the picture is the query its captions compete, and common ones must not win by being common.
    blind = [row for row, task in enumerate(tasks) if task.statement.pictures == ("query",)]
    unseen = _means(reader, [()] * len(blind), [captions[row] for row in blind], None)
    without = dict(zip(blind, (mean for _, mean, _ in unseen), strict=True))
    return [
        record(reader, task, prompt, logits, "likelihood", score=mean - without.get(row, 0.0))
        for row, (task, (prompt, mean, logits)) in enumerate(zip(tasks, seen, strict=True))
    ]


def _means(
    reader: PromptReader, pictures: Sequence[Sequence[PreparedPicture]], captions: Sequence[str], lens: Lens | None
) -> list[tuple[Prompt, float, Tensor]]:
    """Of every caption its prompt, the mean log-probability of its tokens, and the logits of its first token."""
    asked = [reader.continued(DESCRIBE, seen, caption) for seen, caption in zip(pictures, captions, strict=True)]
    if any(length == 0 for _, length in asked):
        raise AtomscopeError("The caption is empty, so it has no likelihood.")
    found = []
    width = reader.mllm.model.config.get_text_config().vocab_size
    longest = max((length for _, length in asked), default=1)
    batch = max(1, _LOGITS // (width * (longest + 1)))
    for start in range(0, len(asked), batch):
        rows = asked[start : start + batch]
        keep = max(length for _, length in rows) + 1
        logits = reader.read([prompt for prompt, _ in rows], keep=keep, lens=lens)
        for (prompt, length), row in zip(rows, logits, strict=True):
            said = row.new_tensor(prompt.ids[-length:]).long()
            predicted = row[-length - 1 : -1]
            logs = predicted.log_softmax(dim=1).gather(1, said[:, None])
            found.append((prompt, float(logs.mean()), predicted[0]))
    return found
