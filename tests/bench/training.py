"""How fast SAEs train: tokens a second of our TopK and sparsemax against SAELens's TopK, on the same store and shapes.

    python tests/bench/training.py                 8,192 atoms, k = 32, batches of 4,096 tokens of the demo store
    python tests/bench/training.py --atoms 4096 --steps 20
    python tests/bench/training.py --json          the same as one JSON document on stdout
    python tests/bench/training.py --save          also write assets/bench/training-cpu.json

It wants the package sae-lens: pip install 'atomscope[interchange]'; without it only ours are measured.

Every method runs in a process of its own, --rounds times, the methods taking turns, so that a slow minute of the machine
hits all of them; the figures are medians over the rounds. A step is what either trainer does with a batch: reading it from the
store, forward, loss, backward, clipping of the gradient, Adam, and the count of which atoms fired. The first steps, which
compile and allocate, are not timed. No method has dead atoms after so few steps, so no auxiliary loss is computed.

    ours topk         engine.training's step, k winners in CSR
    ours sparsemax    the same with the settings that ``atomscope train`` has by default; its L0 is what it finds
    sae-lens topk     SAETrainer.step with TopKTrainingSAE as it comes: dense codes [N, M]
    sae-lens sparse   the same with use_sparse_activations, which it recommends where k is small, and without
                      rescale_acts_by_decoder_norm, whose backward torch 2.13 does not have for sparse tensors on a CPU

``ratio`` is a method's rate over that of the quicker of SAELens's two. ``peak`` is the largest size of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[0] = str(ROOT)  # a script's own folder comes first, and there kernels.py would be the package ``kernels``
sys.path.append(str(Path(__file__).resolve().parent))

from machine import apart, machine  # noqa: E402

OURS = ["ours topk", "ours sparsemax"]
THEIRS = ["sae-lens topk", "sae-lens sparse"]
LR = 4e-4


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acts", type=Path, help="activation store (default: that of the demo)")
    parser.add_argument("--atoms", type=int, default=8192)
    parser.add_argument("-k", type=int, default=32, help="active atoms a token of the TopK SAEs")
    parser.add_argument("--batch", type=int, default=4096, help="tokens a step")
    parser.add_argument("--steps", type=int, default=16, help="timed steps of a round")
    parser.add_argument("--warmup", type=int, default=4, help="steps before them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=OURS + THEIRS, help="methods to run")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--save", action="store_true", help="write assets/bench/training-cpu.json")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(_work(json.loads(arguments.worker))))
        return

    from engine.activations import ActivationStore
    from engine.files import write_json
    from engine.paths import cache_dir

    methods = arguments.only or OURS + THEIRS
    if find_spec("sae_lens") is None and set(methods) & set(THEIRS):
        print(
            "sae-lens is not installed (pip install 'atomscope[interchange]'): only ours are measured", file=sys.stderr
        )
        methods = [method for method in methods if method in OURS]
    acts = arguments.acts or cache_dir() / "stores" / "demo-clip-b16"
    store = ActivationStore.open(acts)
    shape = {key: getattr(arguments, key) for key in ("atoms", "k", "batch", "steps", "warmup")}
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in methods}
    for number in range(arguments.rounds):
        for method in methods:
            print(f"round {number + 1}: {method} ...", file=sys.stderr, flush=True)
            runs[method].append(apart(__file__, {"method": method, "acts": str(acts)} | shape))
    results = [summary(method, found) for method, found in runs.items() if found]
    theirs = [result["tokens_per_second"] for result in results if result["method"] in THEIRS]
    for result in results:
        result["ratio"] = round(result["tokens_per_second"] / max(theirs), 2) if theirs else None
    document = {"machine": machine("cpu"), "store": store.hash, "d_model": store.d_model} | shape
    document |= {"rounds": arguments.rounds, "results": results}
    if arguments.save:
        write_json(ROOT / "assets" / "bench" / "training-cpu.json", document)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)


def summary(method: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds of one method, and the slowest and quickest round."""
    rates = [run["tokens_per_second"] for run in runs]
    middle = {key: statistics.median(run[key] for run in runs) for key in ("cpu_seconds", "l0", "peak_mb")}
    rate = {"tokens_per_second": round(statistics.median(rates)), "slowest": min(rates), "quickest": max(rates)}
    return {"method": method, "version": runs[0]["version"]} | rate | middle


def _work(job: dict[str, Any]) -> dict[str, Any]:
    from engine.activations import ActivationStore

    store = ActivationStore.open(job["acts"])
    step, version = (_ours if job["method"] in OURS else _theirs)(job, store)
    batches = _endless(store, job["batch"])
    for _ in range(job["warmup"]):
        step(next(batches))
    started, cpu, tokens, active = time.perf_counter(), time.process_time(), 0, 0
    for _ in range(job["steps"]):
        x = next(batches)
        active += step(x)
        tokens += len(x)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "version": version,
        "tokens_per_second": round(tokens / seconds),
        "cpu_seconds": round(cpu, 2),
        "l0": round(active / tokens, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _endless(store: Any, batch: int) -> Iterator[Any]:
    """Shuffled whole batches, pass after pass."""
    epoch = 0
    while True:
        for found in store.batches(batch, shuffle=True, epoch=epoch):
            if len(found.x) == min(batch, store.n_tokens):
                yield found.x
        epoch += 1


def _ours(job: dict[str, Any], store: Any) -> tuple[Callable[[Any], int], str]:
    from importlib.metadata import version

    import torch

    from engine.sae import SAEConfig, SparsemaxConfig, TopKConfig
    from engine.training import TrainConfig
    from engine.training.train_spec import TrainSpec
    from engine.training.trainee import Trainee

    shape = {"d_model": store.d_model, "n_atoms": job["atoms"]}
    config: SAEConfig = (
        TopKConfig(**shape, k=job["k"])
        if job["method"] == "ours topk"
        else SparsemaxConfig(**shape, scale=0.6, init="spread", normalise="standardise")
    )
    trainee = Trainee.make("bench", TrainSpec(config=config), TrainConfig(), torch.device("cpu"))
    sample = next(iter(store.batches(16384, shuffle=True, seed=1))).x
    trainee.sae.initialise(sample, torch.Generator().manual_seed(0))
    seen = 0

    def step(x: Any) -> int:
        nonlocal seen
        trainee.step(x, LR, 1.0)
        before, seen = seen, int(trainee.sums.active)
        return seen - before

    return step, version("atomscope")


def _theirs(job: dict[str, Any], store: Any) -> tuple[Callable[[Any], int], str]:
    import sae_lens
    from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig

    sparse = job["method"] == "sae-lens sparse"
    config = TopKTrainingSAEConfig(
        d_in=store.d_model,
        d_sae=job["atoms"],
        k=job["k"],
        use_sparse_activations=sparse,
        rescale_acts_by_decoder_norm=not sparse,
    )
    total = (job["steps"] + job["warmup"] + 1) * job["batch"]
    options = SAETrainerConfig(total_training_samples=total, train_batch_size_samples=job["batch"], lr=LR, lr_end=LR)
    trainer = SAETrainer(options, TopKTrainingSAE(config), iter(()))

    def step(x: Any) -> int:
        before = trainer.act_freq_scores.sum()
        trainer.step(x)
        trainer.n_training_steps += 1
        return int(trainer.act_freq_scores.sum() - before)

    return step, str(sae_lens.__version__)


def _print(document: dict[str, Any]) -> None:
    print("machine: " + ", ".join(f"{key} {value}" for key, value in document["machine"].items()))
    shape = [f"{key} {document[key]:,}" for key in ("atoms", "k", "d_model", "batch", "steps", "rounds")]
    print("shape: " + ", ".join(shape) + "\n")
    heads = ["method", "version", "tokens/s", "slowest", "quickest", "ratio", "CPU s", "L0", "peak MB"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for r in document["results"]:
        rates = [f"{r[key]:,}" for key in ("tokens_per_second", "slowest", "quickest")]
        cells = [r["method"], r["version"], *rates, r["ratio"], r["cpu_seconds"], r["l0"], f"{r['peak_mb']:,}"]
        print("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")


if __name__ == "__main__":
    main()
