"""Our fine stage beside the published way of scoring, with the same model, the same prompts and the same pictures.

    python tests/bench/retrieval.py                      the demo model, pools of 5, 10 and 20
    python tests/bench/retrieval.py --mllm FOLDER        any other multimodal model
    python tests/bench/retrieval.py --save               also write assets/bench/retrieval-cpu.json
    python tests/bench/retrieval.py --json               the same as one JSON document on stdout

    published   one candidate at a time, no cache: picture and prompt through the processor, then generate(max_new_tokens=1,
                output_scores=True), whose scores give the log-odds; the model as transformers loads it
    fresh       engine.retrieval.FineScorer with nothing kept of any picture: here the vision tower's arithmetic sets the limit
    prepared    the same after ``atomscope prepare``: vision outputs of the collection's pictures lie on disk
    repeated    the same with a new question on the same pictures: what one search leaves in memory for the next

``text`` asks a text query about a pool of pictures, ``image`` a picture about a pool of captions. Every way runs in a process
of its own, over the same questions, after one question that is not counted; the figure is the median of the rest. Scores are
compared. Ratios are of wall-clock seconds; those of the CPU time of all threads stand beside, since other work on the machine
changes them less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "tests" / "bench")]

from machine import apart, machine  # noqa: E402

from engine.cli.console import print_table  # noqa: E402
from engine.table import Table  # noqa: E402

GOALS = {"fresh": 5.0, "prepared": 5.0, "repeated": 10.0}
SAME = 1e-3
"""Largest difference of two log-odds that count as equal: they are sums of float32 products in another order."""


def main() -> None:
    """Measure, print, save; exit with status 1 when scores differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mllm", default="demo", help="hub id, folder, or demo")
    parser.add_argument("--corpus", default="", help="corpus of pictures with captions (default: the demo corpus)")
    parser.add_argument("--pool", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--repeats", type=int, default=3, help="questions timed")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch (default: its own choice)")
    parser.add_argument("--save", action="store_true", help="write assets/bench/retrieval-cpu.json")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(_work(json.loads(arguments.worker))))
        return
    job = {key: getattr(arguments, key) for key in ("mllm", "corpus", "repeats", "threads")}
    results = []
    for pool in arguments.pool:
        for asked in ("text", "image"):
            rows = {way: _apart(job | {"pool": pool, "asked": asked, "way": way}) for way in ("published", "ours")}
            results.append(_compared(pool, asked, rows["published"], rows["ours"]))
    document = {"mllm": rows["ours"]["mllm"], "goals": GOALS, "results": results, "machine": machine("cpu")}
    if arguments.save:
        from engine.files import write_json

        write_json(ROOT / "assets" / "bench" / "retrieval-cpu.json", document)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        print_table(_table(results))
        print(f"seconds by the wall; goals: {', '.join(f'{state} {goal:g}' for state, goal in GOALS.items())}; * below")
    if any(result["difference"] > SAME for result in results):
        sys.exit("The scores differ: one of the two ways is wrong.")


def _apart(job: dict[str, Any]) -> dict[str, Any]:
    """Run one way in a process of its own."""
    print(f"{job['way']}: {job['asked']} query, pool of {job['pool']} ...", file=sys.stderr, flush=True)
    return apart(__file__, job)


def _compared(pool: int, asked: str, published: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Published over ours, in seconds a question."""
    pairs = zip(published["scores"], ours["scores"], strict=True)
    return {
        "pool": pool,
        "asked": asked,
        "tokens": ours["tokens"],
        "published": published["fresh"],
        **{state: ours[state] for state in GOALS},
        "first_s": ours["first_s"],
        "ratios": {
            state: {clock: round(published["fresh"][clock] / ours[state][clock], 2) for clock in ("wall", "cpu")}
            for state in GOALS
        },
        "difference": max(abs(a - b) for a, b in pairs),
    }


def _table(results: list[dict[str, Any]]) -> Table:
    """One row per query and pool: seconds, and how often ours fits into the published time, by the wall and by the CPU."""
    header = ["query", "pool", "published"]
    for state in GOALS:
        header += [state, "ratio", "CPU ratio"]
    rows = []
    for r in results:
        cells = [r["asked"], str(r["pool"]), f"{r['published']['wall']:.2f}"]
        for state, goal in GOALS.items():
            ratio = r["ratios"][state]
            below = "" if ratio["wall"] >= goal else "*"
            cells += [f"{r[state]['wall']:.2f}", f"{ratio['wall']:.1f}{below}", f"{ratio['cpu']:.1f}"]
        rows.append((*cells, f"{r['first_s']:.2f}", f"{r['difference']:.0e}"))
    return Table((*header, "first score", "scores within"), tuple(rows))


def _work(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    if job["threads"]:
        torch.set_num_threads(job["threads"])
    from engine.corpus import open_corpus
    from engine.paths import DEMO_CORPUS

    corpus = open_corpus(job["corpus"] or DEMO_CORPUS)
    captions = corpus.items["caption"].to_list()
    shown = [row for row, caption in enumerate(captions) if caption]
    count = 2 * job["pool"] + 2 * job["repeats"] + 1
    if len(shown) < count:
        raise SystemExit(f"The corpus has {len(shown)} captions; {count} are needed.")
    rows = shown[:: len(shown) // count][:count]
    pool, more, asked = rows[: job["pool"]], rows[job["pool"] : 2 * job["pool"]], rows[2 * job["pool"] :]
    images = {row: corpus.load(row) for row in [*pool, *asked]}
    way = {"published": _published, "ours": _ours}[job["way"]]
    return way(job, images, captions, pool, more, asked)


def _timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def _median(times: list[dict[str, float]]) -> dict[str, float]:
    return {clock: statistics.median(each[clock] for each in times) for clock in ("wall", "cpu")}


def _published(
    job: dict[str, Any],
    images: dict[int, Any],
    captions: list[str],
    pool: list[int],
    _more: list[int],
    asked: list[int],
) -> dict[str, Any]:
    """One candidate at a time through ``generate``; pictures are decoded already, in both ways."""
    import torch
    from transformers import AutoModelForImageTextToText

    from engine.backbones.quiet import quiet
    from engine.retrieval.fine.answers import judge
    from engine.retrieval.fine.model import load_mllm
    from engine.retrieval.fine.prompts import JUDGE, chat

    loaded = load_mllm(job["mllm"], "cpu")  # its processor, and where it lies
    processor, folder = loaded.processor, loaded.model.config._name_or_path
    with quiet():
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    def score(image: Any, caption: str) -> float:
        messages = chat(f"{JUDGE} {caption}", 1)
        text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        inputs = processor(text=[text], images=[image], return_tensors="pt")
        with torch.no_grad():
            out = model.generate(
                **inputs, max_new_tokens=1, do_sample=False, output_scores=True, return_dict_in_generate=True
            )
        return judge(processor.tokenizer, out.scores[0][0].float()).log_odds

    def question(row: int) -> list[float]:
        if job["asked"] == "text":
            return [score(images[item], captions[row]) for item in pool]
        return [score(images[row], captions[item]) for item in pool]

    score(images[pool[0]], captions[pool[0]])
    done = [_timed(lambda row=row: question(row)) for row in asked[1 : 1 + job["repeats"]]]  # type: ignore[misc]
    return {"scores": [value for values, _ in done for value in values], "fresh": _median([t for _, t in done])}


def _ours(
    job: dict[str, Any],
    images: dict[int, Any],
    captions: list[str],
    pool: list[int],
    more: list[int],
    asked: list[int],
) -> dict[str, Any]:
    """The fine scorer as a search runs it; memory emptied before every fresh and every prepared question."""
    from engine.retrieval.fine.mllm_scorer import CandidateView, FineScorer
    from engine.retrieval.fine.model import load_mllm
    from engine.retrieval.fine.picture_store import PictureStore
    from engine.retrieval.search.events import PoolEntry
    from engine.retrieval.search.query import Query, SearchOptions

    folder = tempfile.TemporaryDirectory()  # gone when this function is left
    scorer = FineScorer(load_mllm(job["mllm"], "cpu"), store=PictureStore(Path(folder.name)))
    options = SearchOptions(top_k=job["pool"], mode="log-odds")
    first: list[float] = []

    def views_of(items: list[int]) -> list[CandidateView]:
        return [
            CandidateView(
                PoolEntry(item, str(item), place + 1, 0.0), str(item), lambda item=item: images[item], captions[item]
            )  # type: ignore[misc]
            for place, item in enumerate(items)
        ]

    def question(row: int, items: list[int]) -> list[Any]:
        views = views_of(items)
        query = Query(captions[row]) if job["asked"] == "text" else Query(image=images[row])
        start, records = time.perf_counter(), []
        for event in scorer.score(query, views, options):
            assert not event.record.error, event.record.error
            if not records:
                first.append(time.perf_counter() - start)
            records.append(event.record)
        return records

    question(asked[0], pool)
    fresh, prepared, firsts, repeated = [], [], [], []
    for number in range(1, job["repeats"] + 1):
        scorer.clear()
        first.clear()
        fresh.append(_timed(lambda row=asked[number]: question(row, pool)))  # type: ignore[misc]
        firsts.append(first[0])
        # A new question about what was just read: other words for the same pictures, other captions of the same picture.
        text = job["asked"] == "text"
        row, items = (asked[-number], pool) if text else (asked[number], more)
        repeated.append(_timed(lambda row=row, items=items: question(row, items)))  # type: ignore[misc]
    for picture in scorer.look(views_of(pool))[0]:
        scorer.store.put(picture)
    for number in range(1, job["repeats"] + 1):
        scorer.clear()
        prepared.append(_timed(lambda row=asked[number]: question(row, pool)))  # type: ignore[misc]
    return {
        "mllm": scorer.identity | {"limits": scorer.limits},
        "scores": [record.score for records, _ in fresh for record in records],
        "tokens": fresh[0][0][0].prompt_tokens,
        "first_s": statistics.median(firsts),
        "fresh": _median([t for _, t in fresh]),
        "prepared": _median([t for _, t in prepared]),
        "repeated": _median([t for _, t in repeated]),
    }


if __name__ == "__main__":
    main()
