"""How much memory a wide SAE on a store larger than that memory takes: training, and the one pass of the atlas.

    python tests/bench/memory.py                        49,152 atoms, d = 768, a store of 4 GB
    python tests/bench/memory.py --atoms 4096 --gb 0.3  a small one
    python tests/bench/memory.py --json                 the same as one JSON document on stdout

The claim: **the memory of a training does not grow with the store.** It is that of the program before it begins, plus

    5 copies of the parameters (weights, gradients, Adam's two moments, one temporary),
    256 MB of tokens for mixing, twice the sample that the start is measured on, and 400 MB for batches and scores;

and that of the pass is the program, two copies of the parameters (the file is read, then they are loaded), two of the
accumulators (a few kB an atom; a checkpoint copies them) and 800 MB for batches of 8,192 tokens. The script measures both and
fails where one is exceeded.

What is measured is anonymous memory (RssAnon), sampled every 20 ms. The store is read through a memory map: its pages count
into the resident size too, as long as nobody else wants them, but the system takes them back at any time; ``mapped`` reports
their largest amount. A limit by RLIMIT_AS would forbid the map itself, so none is set.

The store is made for the run: tokens around 300 random directions, one block of 64 MB written as often as needed. Repetition
makes the SAE no smaller, and the disk really holds that many bytes. Each part runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[0] = str(ROOT)  # a script's own folder comes first, and there kernels.py would be the package ``kernels``
sys.path.append(str(Path(__file__).resolve().parent))

from machine import apart, machine  # noqa: E402

POSITIONS, WIDTH, EMBEDDING = 197, 768, 512
MB = 1_000_000


def main() -> None:
    """Make the store, measure both parts, compare with the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=49152)
    parser.add_argument("--gb", type=float, default=4.0, help="size of the store")
    parser.add_argument("--steps", type=int, default=24, help="steps of training, spread over the whole store")
    parser.add_argument("--batch", type=int, default=4096, help="tokens a step")
    parser.add_argument("--items", type=int, default=300, help="items of the atlas pass, spread over the whole store")
    parser.add_argument("--folder", type=Path, help="where to make the store (default: the system's temporary folder)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(_work(json.loads(arguments.worker))))
        return

    work = Path(tempfile.mkdtemp(prefix="atomscope-memory-", dir=arguments.folder))
    try:
        print("making the store ...", file=sys.stderr, flush=True)
        size = make_store(work / "store", arguments.gb)
        job = {key: getattr(arguments, key) for key in ("atoms", "steps", "batch", "items")} | {"work": str(work)}
        results = []
        for part in ("training", "atlas pass"):
            print(f"{part} ...", file=sys.stderr, flush=True)
            results.append(apart(__file__, job | {"part": part}))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    document = {"machine": machine("cpu"), "store_mb": round(size / MB), "atoms": arguments.atoms, "results": results}
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        print("machine: " + ", ".join(f"{key} {value}" for key, value in document["machine"].items()))
        print(f"store {size / MB:,.0f} MB, {arguments.atoms:,} atoms\n")
        heads = ["part", "peak MB", "bound MB", "program MB", "peak / store", "mapped MB", "seconds"]
        print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
        for r in results:
            share = f"{r['peak_mb'] * MB / size:.2f}"
            cells = [r["part"], r["peak_mb"], r["bound_mb"], r["program_mb"], share, r["mapped_mb"], r["seconds"]]
            print("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |")
    if any(r["peak_mb"] > r["bound_mb"] for r in results):
        sys.exit("the bound is exceeded")


def make_store(path: Path, gb: float) -> int:
    """A store of about ``gb`` GB in ``path``; returns the bytes of its activations."""
    import numpy as np

    from engine.activations.writer import StoreWriter
    from engine.corpus import Corpus
    from engine.corpus.items import items_frame

    item_bytes = POSITIONS * WIDTH * 4
    block = max(64 * MB // item_bytes, 1)
    blocks = max(round(gb * 1000 * MB / (block * item_bytes)), 1)
    items, random = block * blocks, np.random.default_rng(0)
    kinds = random.normal(size=(300, WIDTH)).astype(np.float32)
    tokens = kinds[random.integers(300, size=(block, POSITIONS))]
    tokens += 0.5 * random.standard_normal(tokens.shape, dtype=np.float32)
    embeddings = random.normal(size=(block, EMBEDDING)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    table = items_frame(
        {
            "id": [f"item-{i}" for i in range(items)],
            "split": ["train"] * items,
            "label": [f"label {i % 40}" for i in range(items)],
        }
    )
    corpus = Corpus("memory", path, table, source=None, digest=lambda: "0" * 64)  # type: ignore[arg-type]
    job = {
        "dtype": "float32",
        "positions": POSITIONS,
        "backbone": {"name": "made up", "d_model": WIDTH, "embedding_dim": EMBEDDING},
        "corpus": {"name": "memory", "hash": corpus.hash, "items": items},
        "limit": None,
        "packages": {},
        "batch_size": block,
    }
    with StoreWriter(path, job) as writer:
        for start in range(0, items, block):
            writer.append(range(start, start + block), tokens, embeddings, [])
        writer.finish(corpus)
    return items * item_bytes


def _work(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    from engine.activations import ActivationStore
    from engine.sae import SparsemaxConfig, build_sae

    store = ActivationStore.open(Path(job["work"]) / "store")
    store.items  # noqa: B018  (read now: it belongs to the program, not to the training)
    config = SparsemaxConfig(d_model=WIDTH, n_atoms=job["atoms"], init="data", scale=2.0)
    tiny = build_sae(SparsemaxConfig(d_model=WIDTH, n_atoms=64, scale=2.0)).train()
    output = tiny(store.item(0))  # compiles
    torch.stack(list(output.losses.values())).sum().backward()
    del tiny, output
    program = _resident("RssAnon")
    parameters = 4 * (job["atoms"] * WIDTH + 2 * WIDTH**2)
    started = time.perf_counter()
    with Peak() as peak:
        bound = (_train if job["part"] == "training" else _pass)(job, store, config, parameters)
    return {
        "part": job["part"],
        "peak_mb": round(peak.anonymous / MB),
        "bound_mb": round((program + bound) / MB),
        "program_mb": round(program / MB),
        "mapped_mb": round(peak.mapped / MB),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _train(job: dict[str, Any], store: Any, config: Any, parameters: int) -> int:
    from engine.training import TrainConfig, train

    sample = 65536
    options = TrainConfig(
        tokens=job["steps"] * job["batch"], batch_tokens=job["batch"], init_tokens=sample, device="cpu"
    )
    train([config], store, Path(job["work"]) / "run", options)
    return 5 * parameters + 256 * MB + 2 * 4 * sample * WIDTH + 400 * MB


def _pass(job: dict[str, Any], store: Any, config: Any, parameters: int) -> int:
    import numpy as np
    import torch

    from engine.atlas.build.accumulators import Accumulators
    from engine.atlas.build.token_pass import run_token_pass
    from engine.progress import SilentProgress
    from engine.sae import load_sae

    atoms, edges = job["atoms"], np.geomspace(1e-3, 10, 65)
    acc = Accumulators(atoms, 40, EMBEDDING, edges, 16)
    work = Path(job["work"]) / "atlas"
    work.mkdir()
    labels = np.arange(store.n_items, dtype=np.int32) % 40
    sae = load_sae(Path(job["work"]) / "run")
    part = Every(store, job["items"])
    run_token_pass(sae, part, acc, labels, 1000, work, torch.device("cpu"), SilentProgress())  # type: ignore[arg-type]
    held = acc.n_bytes
    return 2 * parameters + 2 * held + 800 * MB


class Every:
    """The items of a store at equal distances, so that a short pass reads from all of its files."""

    def __init__(self, store: Any, items: int) -> None:
        self.n_items = min(items, store.n_items)
        self.n_positions, self.embeddings = store.n_positions, store.embeddings
        self.n_tokens = self.n_items * self.n_positions
        self._store, self._stride = store, store.n_items // self.n_items

    def item(self, item: int) -> Any:
        """Activations [P, d]."""
        return self._store.item(item * self._stride)


class Peak:
    """The largest amounts of anonymous and of mapped memory of this process while the body runs."""

    def __enter__(self) -> Peak:
        self.anonymous = self.mapped = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.anonymous = max(self.anonymous, _resident("RssAnon"))
            self.mapped = max(self.mapped, _resident("RssFile"))


def _resident(kind: str) -> int:
    """Bytes of one kind of resident memory, from Linux's account of this process."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    sys.exit("this reads /proc/self/status: run it on Linux")


if __name__ == "__main__":
    main()
