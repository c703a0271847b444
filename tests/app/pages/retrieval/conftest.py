"""A recorded stream of a search."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.retrieval.search.events import (
    CandidateFailed,
    CandidateScored,
    Done,
    Event,
    FineRecord,
    PoolEntry,
    PoolReady,
    Started,
    TokenChance,
)
from engine.retrieval.search.ranking import final_order

Stream = Callable[..., list[Event]]


@pytest.fixture
def stream() -> Stream:
    """``stream(scores, entropies=None, answer_rank=None, gallery=40)``: a whole search; a score of None is a failure."""

    def make(
        scores: list[float | None],
        entropies: list[float] | None = None,
        answer_rank: int | None = None,
        gallery: int = 40,
        mass: float = 0.97,
    ) -> list[Event]:
        entries = [PoolEntry(10 + i, f"animals/{i}.png", i + 1, 0.5 - 0.05 * i) for i in range(len(scores))]
        known = entropies or [0.3] * len(scores)
        records = [_record(e, s, h, mass) for e, s, h in zip(entries, scores, known, strict=True)]
        cosines = [e.score for e in entries] + [0.1 - 0.001 * i for i in range(gallery - len(entries))]
        order, ranked, tie = final_order(entries, records)
        models = {
            "embedder": {"name": "e"},
            "mllm": {"name": "m", "note": "small"},
            "corpus": {"name": "c", "items": gallery},
        }
        events: list[Event] = [
            Started(models, {}),
            PoolReady(entries, 0.02, cosines, gallery, answer_rank),
        ]
        events += [CandidateFailed(r) if r.score is None else CandidateScored(r) for r in records]
        events += [tie] if tie is not None else []
        return [*events, Done(order, ranked, {"coarse": 0.02, "fine": 1.0, "all": 1.1})]

    return make


def _record(entry: PoolEntry, score: float | None, entropy: float, mass: float) -> FineRecord:
    if score is None:
        return FineRecord(entry, None, "log-odds", error="animals/1.png is missing.")
    return FineRecord(
        entry,
        score,
        "log-odds",
        p_true=0.8 * mass,
        p_false=0.2 * mass,
        label_mass=mass,
        entropy=entropy,
        top_tokens=[TokenChance("True", 0.8 * mass), TokenChance("\n<b>", 0.01)],
        prompt="<image x 49>Does it match? <script>",
        prompt_tokens=61,
        layer_entropy=[0.9, 0.8, 0.4],
        milliseconds=210.0,
        cache="image",
    )
