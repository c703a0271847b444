"""The final order: by fine score, ties by entropy, then what could not be scored by its coarse rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.retrieval.search.events import FineRecord, PoolEntry, TieResolved


@dataclass(frozen=True)
class Prior:
    """Log-odds of a match as the coarse stage sees it: ``weight * cosine + bias``, in nats.

    A folder's ``atomscope.json`` may bring values fitted for its usual embedder. Otherwise the weight is 100, the logit scale
    CLIP was trained with, and even odds are at a cosine of 0.25.
    """

    weight: float = 100.0
    bias: float = -25.0

    def log_odds(self, cosine: float) -> float:
        """Of a candidate with this cosine."""
        return self.weight * cosine + self.bias


def final_order(
    pool: Sequence[PoolEntry], records: Sequence[FineRecord], tie_rule: bool = True
) -> tuple[list[int], list[FineRecord], TieResolved | None]:
    """Order a pool by the fine scores of its candidates.

    Candidates with a score come first, best score first; among equal scores the coarse rank decides, except at the top:
    with ``tie_rule`` those that share the best score go by the entropy of the model's prediction, lowest first (RetLLM,
    arXiv 2602.22278), and unknown entropies last. Failed and unscored candidates follow in their coarse order.

    Returns
    -------
    (list of int, list of FineRecord, TieResolved or None)
        Items, best first; the records in that order; what the tie rule did, if there was a tie at the top.
    """
    scored = sorted((r for r in records if is_scored(r)), key=lambda r: (-_score(r), r.entry.rank))
    tie = None
    tied = [record for record in scored if record.score == scored[0].score]
    if tie_rule and len(tied) > 1:
        before = [record.entry.item for record in tied]
        tied.sort(key=lambda r: (math.inf if r.entropy is None else r.entropy, r.entry.rank))
        scored[: len(tied)] = tied
        tie = TieResolved(before, tied[0].entry.item, moved=tied[0].entry.item != before[0])
    failed = sorted((r for r in records if not is_scored(r)), key=lambda r: r.entry.rank)
    placed = {record.entry.item for record in scored}
    rest = sorted((entry for entry in pool if entry.item not in placed), key=lambda entry: entry.rank)
    order = [record.entry.item for record in scored] + [entry.item for entry in rest]
    return order, scored + failed, tie


def lead(records: Sequence[FineRecord]) -> float | None:
    """How far the best score is ahead of the second, None with fewer than two scores."""
    scores = sorted((_score(record) for record in records if is_scored(record)), reverse=True)
    return scores[0] - scores[1] if len(scores) > 1 else None


def is_scored(record: FineRecord) -> bool:
    """Whether the record has a score that can be compared: a number, not NaN."""
    return record.score is not None and not math.isnan(record.score)


def _score(record: FineRecord) -> float:
    assert record.score is not None
    return record.score
