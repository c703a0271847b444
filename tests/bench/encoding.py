"""How fast the demo corpus is encoded: tokens a second from the activation store to codes, before and after the kernels.

    python tests/bench/encoding.py                 all tokens of the demo store through the SAE of the demo atlas
    python tests/bench/encoding.py --items 64      the first 64 pictures only
    python tests/bench/encoding.py --json          the same as one JSON document on stdout
    python tests/bench/encoding.py --save          also write assets/bench/encoding-cpu.json

Every method runs in a process of its own, one after the other, over the same tokens in batches of 4,096. Reading the store
and standardising the tokens are part of the time of each; nothing is kept of a batch.

    ours        sae.encode: scores in chunks, support by the numba kernel, codes in CSR
    ours torch  the same with the support in plain torch operations
    entmax k=128, entmax sort
                the same scores, support by the package entmax, its non-zeros in CSR
    published   the published code of arXiv 2604.14925, from its description: dense keys C W_k, scores, full sort, gate,
                dense codes [N, M]

The last two are slow and run on --slow-items pictures; the column ``tokens`` says on how many tokens. Every method's
supports are then compared with ours on --check-items pictures: ``near`` counts tokens that differ only in scores within
1e-6 of the threshold, which float32 cannot tell apart, ``different`` all others that differ. ``CPU`` is the CPU time of all
threads, which other work on the machine changes less than the seconds; ``peak`` is the largest size of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[0] = str(ROOT)  # a script's own folder comes first, and there kernels.py would be the package ``kernels``
sys.path.append(str(Path(__file__).resolve().parent))

from machine import apart, machine  # noqa: E402

METHODS = ["ours", "ours torch", "entmax k=128", "entmax sort", "published"]
SLOW = ["entmax sort", "published"]
BATCH = 4096
NEAR = 1e-6


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acts", type=Path, help="activation store (default: that of the demo)")
    parser.add_argument("--sae", type=Path, help="folder of a sparsemax SAE in score mode (default: the demo's)")
    parser.add_argument("--items", type=int, help="pictures to encode (default: all)")
    parser.add_argument("--slow-items", type=int, default=512, help="pictures for the slow methods")
    parser.add_argument("--check-items", type=int, default=64, help="pictures on which supports are compared")
    parser.add_argument("--only", nargs="+", choices=METHODS, help="methods to run")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--save", action="store_true", help="write assets/bench/encoding-cpu.json")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(_work(json.loads(arguments.worker))))
        return

    from engine.activations import ActivationStore
    from engine.files import write_json
    from engine.paths import DEMO_ATLAS, cache_dir

    acts = arguments.acts or cache_dir() / "stores" / "demo-clip-b16"
    store = ActivationStore.open(acts)
    every = min(arguments.items or store.n_items, store.n_items)
    results = []
    for method in arguments.only or METHODS:
        items = min(every, arguments.slow_items) if method in SLOW else every
        job = {"method": method, "items": items, "check": min(items, arguments.check_items)}
        job |= {"acts": str(acts), "sae": str(arguments.sae or DEMO_ATLAS / "sae")}
        print(f"{method}, {items * store.n_positions:,} tokens ...", file=sys.stderr, flush=True)
        results.append(apart(__file__, job))
    document = {"machine": machine("cpu"), "store": store.hash, "tokens": every * store.n_positions, "results": results}
    if arguments.save:
        write_json(ROOT / "assets" / "bench" / "encoding-cpu.json", document)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)


def _work(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    from engine.activations import ActivationStore
    from engine.sae import load_sae

    store, sae = ActivationStore.open(job["acts"]), load_sae(Path(job["sae"])).eval()
    rows, check = store.rows()[: job["items"]], store.rows()[: job["check"]]
    encode = _encoder(job["method"], sae)
    with torch.inference_mode():
        encode(next(iter(store.batches(BATCH, rows=rows))).x)  # compiles, and fills caches
        started, cpu, tokens, entries = time.perf_counter(), time.process_time(), 0, 0
        for batch in store.batches(BATCH, rows=rows):
            entries += len(encode(batch.x)[1])
            tokens += len(batch.x)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        compared = {"checked": 0, "near": 0, "different": 0}
        for batch in store.batches(BATCH, rows=check):
            _compare(compared, sae, batch.x, *encode(batch.x))
    return {
        "method": job["method"],
        "tokens": tokens,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "tokens_per_second": round(tokens / seconds),
        "l0": round(entries / tokens, 2),
        "peak_mb": round(peak / 1024),
    } | compared


def _encoder(method: str, sae: Any) -> Callable[[Any], tuple[Any, Any]]:
    """Tokens [N, d] to the row and the atom of every active entry, by one method; all of them make values too."""
    import torch

    from kernels import linear, sparse_attention

    if sae.config.architecture != "sparsemax" or sae.config.values != "score":
        sys.exit("this compares sparsemax SAEs in score mode")

    def queries(x: torch.Tensor) -> torch.Tensor:
        u = (x - sae.input_mean) / sae.input_scale
        return linear(u / u.norm(dim=1, keepdim=True), sae.w_key) * sae.scale

    def ours(x: torch.Tensor) -> tuple[Any, Any]:
        codes = sae.encode(x)
        return codes.row, codes.col

    def ours_torch(x: torch.Tensor) -> tuple[Any, Any]:
        codes = sparse_attention(queries(x), sae.atoms, backend="torch")
        return codes.row, codes.col

    def by_entmax(k: int | None) -> Callable[[Any], tuple[Any, Any]]:
        import entmax

        def encode(x: torch.Tensor) -> tuple[Any, Any]:
            scores = linear(queries(x), sae.atoms)
            row, col = entmax.sparsemax(scores, dim=1, k=k).nonzero(as_tuple=True)
            scores[row, col]
            return row, col

        return encode

    def published(x: torch.Tensor) -> tuple[Any, Any]:
        u = (x - sae.input_mean) / sae.input_scale
        scores = u / u.norm(dim=1, keepdim=True) @ (sae.atoms @ sae.w_key).T * sae.scale
        ordered = scores.sort(dim=1, descending=True).values
        total = ordered.cumsum(dim=1)
        rank = torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype)
        size = (1 + rank * ordered > total).sum(dim=1, keepdim=True)
        tau = (total.gather(1, size - 1) - 1) / size
        codes = scores * (scores > tau)
        return codes.nonzero(as_tuple=True)  # so that its support can be compared; cheap beside the sort

    return {
        "ours": lambda: ours,
        "ours torch": lambda: ours_torch,
        "entmax k=128": lambda: by_entmax(128),
        "entmax sort": lambda: by_entmax(None),
        "published": lambda: published,
    }[method]()


def _compare(found: dict[str, int], sae: Any, x: Any, row: Any, col: Any) -> None:
    """Add up on how many tokens a method's support is not ours, and whether only float32 rounding tells them apart."""
    import torch

    codes, tau = sae.encode_with_threshold(x)
    theirs = torch.zeros(len(x), sae.config.n_atoms, dtype=torch.bool)
    theirs[row, col.long()] = True
    ours = torch.zeros_like(theirs)
    ours[codes.row, codes.col.long()] = True
    token, atom = (ours != theirs).nonzero(as_tuple=True)
    gap = (sae.scores(x[token]).gather(1, atom[:, None]).squeeze(1) - tau[token]).abs()
    different = len(token[gap > NEAR].unique())
    found["checked"] += len(x)
    found["different"] += different
    found["near"] += len(token.unique()) - different


def _print(document: dict[str, Any]) -> None:
    print("machine: " + ", ".join(f"{key} {value}" for key, value in document["machine"].items()) + "\n")
    heads = ["method", "tokens", "seconds", "CPU s", "tokens/s", "ours is quicker", "L0", "peak MB"]
    heads += ["checked", "near", "different"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    ours = next((r["tokens_per_second"] for r in document["results"] if r["method"] == "ours"), None)
    for r in document["results"]:
        ratio = f"{ours / r['tokens_per_second']:.1f}" if ours else ""
        cells = [r["method"], f"{r['tokens']:,}", r["seconds"], r["cpu_seconds"], f"{r['tokens_per_second']:,}", ratio]
        cells += [r["l0"], r["peak_mb"], f"{r['checked']:,}", r["near"], r["different"]]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


if __name__ == "__main__":
    main()
