"""``log-odds``, ``posterior``, ``true-false``: is it True or False that the picture matches the caption?

All read the same prompt once. ``true-false`` cuts P(True) to two decimals as the published code does (RetLLM,
arXiv 2602.22278), which makes the ties its tie rule is there for; ``log-odds`` keeps all the model says. ``posterior`` does
not throw away what the coarse stage knew either: Bayes' rule in log-odds, the coarse cosine as the prior and the model's
answer as the evidence. It is ours, and worth most where the model is small and the embedder good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from engine.retrieval.fine.answers import Verdict, judge
from engine.retrieval.fine.modes.task import Task, prompts, record
from engine.retrieval.fine.reader import Lens, PromptReader
from engine.retrieval.search.events import FineRecord, Mode, PoolEntry


def log_odds(reader: PromptReader, tasks: Sequence[Task], lens: Lens | None) -> list[FineRecord]:
    """logsumexp over the spellings of True minus the same for False, in nats."""
    return _judged(reader, tasks, lens, "log-odds", lambda verdict, _: verdict.log_odds)


def posterior(reader: PromptReader, tasks: Sequence[Task], lens: Lens | None) -> list[FineRecord]:
    """The same plus the prior log-odds of the coarse cosine, ``Mllm.prior``, in nats."""
    prior = reader.mllm.prior
    return _judged(
        reader, tasks, lens, "posterior", lambda verdict, entry: verdict.log_odds + prior.log_odds(entry.score)
    )


def true_false(reader: PromptReader, tasks: Sequence[Task], lens: Lens | None) -> list[FineRecord]:
    """P(True), truncated to two decimals; ``p_true`` of the record keeps the rest."""
    return _judged(reader, tasks, lens, "true-false", lambda verdict, _: math.floor(verdict.p_true * 100) / 100)


def _judged(
    reader: PromptReader,
    tasks: Sequence[Task],
    lens: Lens | None,
    mode: Mode,
    score: Callable[[Verdict, PoolEntry], float],
) -> list[FineRecord]:
    asked = prompts(reader, tasks, "judge")
    logits = reader.read(asked, lens=lens)[:, -1]
    found = []
    for task, prompt, row in zip(tasks, asked, logits, strict=True):
        verdict = judge(reader.mllm.tokenizer, row)
        values = {
            "score": score(verdict, task.entry),
            "p_true": verdict.p_true,
            "p_false": verdict.p_false,
            "label_mass": verdict.mass,
            "binary_entropy": verdict.binary_entropy,
        }
        found.append(record(reader, task, prompt, row, mode, **values))
    return found
