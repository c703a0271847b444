"""The fine stage with a randomly initialised LLaVA: the same scores in a batch and through the caches, and how fast.

On the CPU it is the tiny model of the tests in float32; on a GPU two layers of LLaVA-1.5's widths and 576 picture tokens in
bfloat16. The tolerances are of log-odds. That of bfloat16 comes from a CPU, where the same wide model in bfloat16 differed by
0.03 between the ways and by 1.9 between pictures; no GPU has run it yet, so the spread stands beside each difference.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.retrieval.fine.candidates import CandidateView
from engine.retrieval.fine.mllm_scorer import FineScorer
from engine.retrieval.fine.model import Mllm, load_mllm
from engine.retrieval.fine.picture_store import PictureStore
from engine.retrieval.search.events import PoolEntry
from engine.retrieval.search.query import Query, SearchOptions
from tests.device.rows import Rows
from tests.tiny_mllms import Widths, save_tiny_mllm

TOLERANCE = {"cpu": 1e-4, "cuda": 0.1}
"""Largest difference of two log-odds that count as equal, in float32 and in bfloat16."""
QUESTIONS = ("a red square and a circle", "a blue circle on a table")
WIDE = Widths(
    text={"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 2, "num_attention_heads": 32}
    | {"num_key_value_heads": 32, "max_position_embeddings": 2048},
    vision={"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 3, "num_attention_heads": 16},
    side=192,  # in patches of 8: 24 x 24, as many as LLaVA-1.5 reads
    noise=0.01,
)


def run(rows: Rows, device: torch.device, small: bool) -> None:
    """Batched and cached against one by one and whole."""
    pool, batch = (5, 4) if small else (33, 8)
    with rows.attempt("fine stage"), tempfile.TemporaryDirectory() as folder:
        save_tiny_mllm(Path(folder), "llava", None if small else WIDE)
        compare(rows, load_mllm(folder, str(device)), candidates(pool, 40 if small else 200), batch, Path(folder))


def candidates(count: int, side: int) -> list[CandidateView]:
    """Pictures of noise on a colour of their own."""
    random = np.random.default_rng(3)
    found = []
    for item in range(count):
        pixels = random.integers(0, 255, 3) * 0.7 + random.integers(0, 76, (side, side, 3))
        picture = Image.fromarray(pixels.astype(np.uint8))
        entry = PoolEntry(item, f"item-{item}", item + 1, 0.0)
        found.append(CandidateView(entry, f"picture-{item}", lambda picture=picture: picture, ""))  # type: ignore[misc]
    return found


def compare(rows: Rows, mllm: Mllm, views: list[CandidateView], batch: int, folder: Path) -> None:
    """The scores of two questions in every way; "whole" keeps no keys and values and reads one candidate at a time."""

    def scorer(name: str, prefixes: bool) -> FineScorer:
        made = FineScorer(mllm, store=PictureStore(folder / name))
        made.reader.prefixes = prefixes and made.reader.prefixes
        return made

    def ask(with_scorer: FineScorer, question: int, size: int) -> tuple[list[float], set[str], float]:
        _wait(mllm)
        began = time.perf_counter()
        options = SearchOptions(batch=size, mode="log-odds")
        records = [event.record for event in with_scorer.score(Query(QUESTIONS[question]), views, options)]
        _wait(mllm)
        if faults := [record.error for record in records if record.error]:
            raise AssertionError(faults[0])
        reused = {record.cache for record in records}
        return [float(record.score or 0.0) for record in records], reused, time.perf_counter() - began

    ask(scorer("warm", True), 0, batch)  # the first pass compiles and allocates
    ask(scorer("warm whole", False), 0, 1)
    whole = [ask(scorer(f"whole-{question}", False), question, 1) for question in (0, 1)]
    one_by_one = ask(scorer("one", True), 0, 1)
    keeping = scorer("batched", True)
    batched, cached = ask(keeping, 0, batch), ask(keeping, 1, batch)

    most = TOLERANCE[mllm.device.type]
    spread = float(np.std(whole[0][0]))
    for name, got, want in (
        ("one by one = whole", one_by_one, whole[0]),
        ("batched = one by one", batched, one_by_one),
        ("cached = whole", cached, whole[1]),
    ):
        error = float(np.abs(np.subtract(got[0], want[0])).max())
        note = f"log-odds, at most {most:g}; they spread by {spread:.2g} over {len(views)} candidates; {_about(mllm)}"
        rows.holds(name, error <= most, error, note)
    rows.holds("pictures matter", spread > 0 and len(set(whole[0][0])) > 1, spread)
    rows.holds("the second question reads kept keys and values", cached[1] == {"prefix"}, ", ".join(sorted(cached[1])))
    rows.holds("no cache is broken", not keeping.broken, note=" ".join(keeping.broken))
    for name, found, slow in (("batched", batched, whole[0]), ("cached", cached, whole[1])):
        note = f"against one at a time, whole: {slow[2]:.3f} s"
        rows.measured(f"{name}, s for {len(views)} candidates", round(found[2], 4), note)
        rows.measured(f"{name}, times as fast", round(slow[2] / found[2], 2), note)


def _about(mllm: Mllm) -> str:
    identity: dict[str, Any] = mllm.identity
    return f"{identity['architecture']} in {identity['dtype']}"


def _wait(mllm: Mllm) -> None:
    if mllm.device.type == "cuda":
        torch.cuda.synchronize()
