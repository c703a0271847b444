"""How fast and how exact the kernels are, beside what else computes the same. One command, one table.

    python tests/bench/kernels.py                 every method at every size, several minutes on a quiet machine
    python tests/bench/kernels.py --quick         small sizes, to see that it runs
    python tests/bench/kernels.py --json          the same as one JSON document on stdout
    python tests/bench/kernels.py --save          also write assets/bench/kernels-cpu.json (or -DEVICE.json)

Every method runs in a process of its own, one after the other: the time is the median of its repetitions, the peak is
how far the process grew over its inputs (on a GPU: allocated over its inputs). Ratios compare runs of one call; the
milliseconds belong to the machine named above the table.

Methods of the support, on the same Gaussian scores [N, M] scaled so that supports average 50:

    read        one maximum over every row: the time to read the scores
    ours        kernels.sparsemax_support; ours torch: its plain torch backend
    entmax      entmax.sparsemax by full sort, with k = 128, and by bisection
    topk        torch.topk with k = 64;  ours topk: kernels.topk_support with k = 64
    softmax     torch.softmax, dense
    adasplash, liger   with --device cuda: the sparsemax of the packages adasplash and liger-kernel

Methods of the step (loss and gradients of one reconstruction, d = 768, L0 near 50), as in arXiv 2604.14925:

    ours        sparse_attention and sparse_decode, both value modes
    published   the published code's algorithm: dense keys and values (C W_k, C W_v), full sort, gate, dense product
    entmax, softmax, adasplash, liger   the same dense step with that normaliser in place of the gate
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[0] = str(ROOT)  # a script's own folder comes first, and there this file would be the module ``kernels``
sys.path.append(str(Path(__file__).resolve().parent))

from machine import machine  # noqa: E402

SUPPORT = ["read", "ours", "ours torch", "ours topk", "topk", "entmax k=128", "entmax bisect", "entmax sort", "softmax"]
STEP = ["ours score", "ours probability", "published", "entmax k=128", "entmax sort", "softmax"]
CUDA_ONLY = ["adasplash", "liger"]  # Triton packages for NVIDIA cards
WIDTH = 768
L0 = 50.0
BUDGET = 12.0  # seconds: a slower first run is the only one, others repeat two to five times within it


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--save", action="store_true", help="write assets/bench/kernels-DEVICE.json")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rows", type=int, default=4096, help="N, tokens a batch")
    parser.add_argument("--support-atoms", type=int, nargs="+", default=[4096, 16384, 65536])
    parser.add_argument("--step-atoms", type=int, nargs="+", default=[4096, 8192, 16384, 49152])
    parser.add_argument("--only", nargs="+", help="methods to run")
    parser.add_argument("--dense-up-to", type=int, default=16384, help="largest M at which the dense steps are run")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(_work(json.loads(arguments.worker))))
        return
    if arguments.quick:
        arguments.rows, arguments.support_atoms, arguments.step_atoms = 256, [2048], [2048]

    more = CUDA_ONLY if arguments.device == "cuda" else []
    jobs = [("support", m, method) for m in arguments.support_atoms for method in SUPPORT + more]
    jobs += [
        ("step", m, method)
        for m in arguments.step_atoms
        for method in STEP + more
        if method.startswith("ours") or m <= arguments.dense_up_to
    ]
    results = []
    for kind, atoms, method in jobs:
        if arguments.only and method not in arguments.only:
            continue
        print(f"{kind} M={atoms} {method} ...", end="", file=sys.stderr, flush=True)
        job = {"kind": kind, "rows": arguments.rows, "atoms": atoms, "method": method, "device": arguments.device}
        done = subprocess.run(
            [sys.executable, __file__, "--worker", json.dumps(job)], stdout=subprocess.PIPE, text=True
        )
        result = json.loads(done.stdout) if done.returncode == 0 else {"failed": f"status {done.returncode}"}
        print(f" {result.get('ms', float('nan')):.1f} ms", file=sys.stderr)
        results.append(job | result)
    document = {
        "machine": machine(arguments.device),
        "width": WIDTH,
        "results": results,
        "goals": goals(results, arguments.device),
    }
    if arguments.save:
        from engine.files import write_json

        write_json(ROOT / "assets" / "bench" / f"kernels-{arguments.device}.json", document)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)


def goals(results: list[dict[str, Any]], device: str) -> list[dict[str, Any]]:
    """The goals as ratios of one run, each met or missed. Only what was measured is listed."""

    def measured(kind: str, atoms: int, method: str, key: str = "ms") -> float | None:
        one = (kind, atoms, method)
        return next((r[key] for r in results if (r["kind"], r["atoms"], r["method"]) == one and key in r), None)

    cpu = [
        ("support", 16384, "entmax k=128", "ours", "at least", 4.0),
        ("support", 65536, "entmax k=128", "ours", "at least", 10.0),
        ("support", 16384, "ours", "read", "at most", 5.0),
        ("support", 65536, "ours", "read", "at most", 5.0),
        ("step", 16384, "entmax sort", "ours probability", "at least", 6.0),
        ("step", 16384, "entmax k=128", "ours probability", "at least", 4.0),
        ("step", 16384, "published", "ours score", "at least", 6.0),
    ]
    cuda = [
        ("support", 65536, "ours", "read", "at most", 1 / 0.7),
        ("support", 65536, "entmax sort", "ours", "at least", 20.0),
        *(("step", 65536, dense, "ours score", "at least", 2.5) for dense in ("entmax k=128", *CUDA_ONLY)),
    ]
    found = []
    for kind, atoms, over, under, sense, bound in cuda if device == "cuda" else cpu:
        above, below = measured(kind, atoms, over), measured(kind, atoms, under)
        if above and below:
            ratio = above / below
            met = ratio >= bound if sense == "at least" else ratio <= bound
            goal = f"{kind}, M = {atoms}: {over} / {under} {sense} {bound:.2g}"
            found.append({"goal": goal, "measured": round(ratio, 2), "met": met})
    # No second N x M buffer: beside the scores themselves only what grows with d or with the non-zeros.
    for atoms in sorted({r["atoms"] for r in results if r["kind"] == "step"}):
        peak = measured("step", atoms, "ours score", "peak_mb")
        rows = next(r["rows"] for r in results if r["kind"] == "step")
        if peak is not None:
            scores = rows * atoms * 4 / 2**20
            allowed = scores + 3 * atoms * WIDTH * 4 / 2**20 + 10 * rows * WIDTH * 4 / 2**20
            goal = f"step, M = {atoms}: MB beside inputs at most S ({scores:.0f}) + gradients and activations"
            found.append({"goal": f"{goal} ({allowed:.0f} in all)", "measured": peak, "met": peak <= allowed})
    process = measured("step", 49152, "ours score", "process_mb")
    if process is not None and device == "cpu":
        goal = "step, M = 49152: MB of the whole process at most 8192"
        found.append({"goal": goal, "measured": process, "met": process <= 8192})
    return found


def _work(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    prepare = _support if job["kind"] == "support" else _step
    run, describe = prepare(job["rows"], job["atoms"], job["method"], torch.device(job["device"]))
    before = _memory(job["device"], reset=True)
    started = time.perf_counter()
    times: list[dict[str, float]] = [run()]  # fills caches; its peak is the peak of the method
    process = _memory(job["device"])
    peak = process - before
    if time.perf_counter() - started < BUDGET:
        started = time.perf_counter()
        times = []
        while len(times) < 2 or (len(times) < 5 and time.perf_counter() - started < BUDGET):
            times.append(run())
    median = {key: round(statistics.median(t[key] for t in times), 2) for key in times[0]}
    memory = {"peak_mb": round(max(peak, 0) / 2**20), "process_mb": round(process / 2**20)}
    return median | {"repetitions": len(times)} | memory | describe()


def _memory(device: str, reset: bool = False) -> int:
    import resource

    import torch

    if device == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()
        return torch.cuda.max_memory_allocated()
    if reset and sys.platform == "linux":
        # The peak so far belongs to the making of the inputs: forget it.
        Path("/proc/self/clear_refs").write_text("5")
        return next(
            1024 * int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmRSS")
        )
    if sys.platform == "linux":
        return next(
            1024 * int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmHWM")
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _timed(function: Callable[[], Any], device: Any) -> float:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - started)


def _entmax() -> Any:
    """The package ``entmax``: ``pip install -e '.[bench]'``; without it only its own methods fail."""
    import entmax

    return entmax


def _adasplash(z: Any) -> Any:
    from adasplash import triton_sparsemax

    return triton_sparsemax(z)


def _liger(z: Any) -> Any:
    from liger_kernel.transformers.functional import liger_sparsemax

    return liger_sparsemax(z, dim=-1)


def scale_for(scores_of: Callable[[float], Any], l0: float = L0) -> float:
    """The scale at which supports average ``l0`` on a few rows."""
    from kernels import sparsemax_support

    low, high = 1e-4, 1e4
    for _ in range(40):
        middle = (low * high) ** 0.5
        rows = scores_of(middle)
        mean = len(sparsemax_support(rows).col) / len(rows)
        low, high = (middle, high) if mean > l0 else (low, middle)
    return high


def _support(rows: int, atoms: int, method: str, device: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import torch

    from kernels import sparsemax_support
    from kernels.topk import topk_support

    scores = torch.empty(rows, atoms, device=device).normal_()
    scores *= scale_for(lambda scale: scores[:64] * scale)

    def probabilities(z: torch.Tensor) -> torch.Tensor:
        support = sparsemax_support(z, "torch" if method == "ours torch" else "auto")
        return support.codes("probability").dense()

    functions: dict[str, Callable[[torch.Tensor], Any]] = {
        "read": lambda z: z.amax(dim=1),
        "ours": sparsemax_support,
        "ours torch": lambda z: sparsemax_support(z, "torch"),
        "ours topk": lambda z: topk_support(z, 64),
        "topk": lambda z: z.topk(64, dim=1),
        "softmax": lambda z: z.softmax(dim=1),
        "entmax k=128": lambda z: _entmax().sparsemax(z, dim=1, k=128),
        "entmax bisect": lambda z: _entmax().sparsemax_bisect(z, dim=1),
        "entmax sort": lambda z: _entmax().sparsemax(z, dim=1),
        "adasplash": _adasplash,
        "liger": _liger,
    }

    def describe() -> dict[str, Any]:
        few = scores[:64]
        found: dict[str, Any] = {"l0": round(len(sparsemax_support(few).col) / len(few), 1)}
        if method in ("ours", "ours torch", *CUDA_ONLY) or method.startswith("entmax"):
            dense = probabilities(few) if method.startswith("ours") else functions[method](few)
            oracle = sparsemax_support(few.double(), "reference").codes("probability").dense()
            found["max_error"] = float((dense.double() - oracle).abs().max())
        return found

    return lambda: {"ms": _timed(lambda: functions[method](scores), device)}, describe


def _step(rows: int, atoms: int, method: str, device: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import torch

    from kernels import linear, sparse_attention, sparse_decode
    from kernels.rows import Values

    x = torch.randn(rows, WIDTH, device=device)
    norm = x.norm(dim=1, keepdim=True)
    unit = x / norm
    c = torch.randn(atoms, WIDTH, device=device)
    w_k, w_v = (torch.linalg.qr(torch.randn(WIDTH, WIDTH, device=device)).Q.contiguous() for _ in range(2))
    c *= scale_for(lambda scale: scale * (unit[:64] @ w_k.T @ c.T))
    parameters = [t.requires_grad_() for t in (c, w_k, w_v)]
    found: dict[str, Any] = {}

    def sparse(values: Values) -> torch.Tensor:
        codes = sparse_attention(linear(unit, w_k), c, values)
        found["l0"] = round(codes.nnz / rows, 1)
        return norm * linear(sparse_decode(codes, c), w_v.T)

    def dense(activate: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return norm * (activate(unit @ (c @ w_k).T) @ (c @ w_v))

    def published_gate(z: torch.Tensor) -> torch.Tensor:
        ordered = z.detach().sort(dim=1, descending=True).values
        total = ordered.cumsum(dim=1)
        rank = torch.arange(1, atoms + 1, device=z.device)
        size = (1 + rank * ordered > total).sum(dim=1, keepdim=True)
        tau = (total.gather(1, size - 1) - 1) / size
        return z * (z > tau)

    forwards: dict[str, Callable[[], torch.Tensor]] = {
        "ours score": lambda: sparse("score"),
        "ours probability": lambda: sparse("probability"),
        "published": lambda: dense(published_gate),
        "entmax k=128": lambda: dense(lambda z: _entmax().sparsemax(z, dim=1, k=128)),
        "entmax sort": lambda: dense(lambda z: _entmax().sparsemax(z, dim=1)),
        "softmax": lambda: dense(lambda z: z.softmax(dim=1)),
        "adasplash": lambda: dense(_adasplash),
        "liger": lambda: dense(_liger),
    }

    def run() -> dict[str, float]:
        for parameter in parameters:
            parameter.grad = None
        loss: list[torch.Tensor] = []
        forward = _timed(lambda: loss.append((forwards[method]() - x).square().mean()), device)
        backward = _timed(loss[0].backward, device)
        return {"ms": forward + backward, "forward_ms": forward, "backward_ms": backward}

    return run, lambda: found


def _print(document: dict[str, Any]) -> None:
    print("machine: " + ", ".join(f"{key} {value}" for key, value in document["machine"].items()) + "\n")
    heads = ["kind", "N", "M", "method", "ms", "forward", "backward", "/ ours", "peak MB", "process MB"]
    heads += ["max error", "L0"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for r in document["results"]:
        base = next(
            (
                o["ms"]
                for o in document["results"]
                if (o["kind"], o["atoms"]) == (r["kind"], r["atoms"])
                and o["method"] in ("ours", "ours score")
                and "ms" in o
            ),
            None,
        )
        ratio = f"{r['ms'] / base:.2f}" if base and "ms" in r else ""
        cells = [r["kind"], r["rows"], r["atoms"], r["method"], r.get("ms", r.get("failed"))]
        cells += [r.get("forward_ms", ""), r.get("backward_ms", ""), ratio, r.get("peak_mb", "")]
        cells += [r.get("process_mb", "")]
        cells += [f"{r['max_error']:.1e}" if "max_error" in r else "", r.get("l0", "")]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")
    print()
    for goal in document["goals"]:
        print(f"{'met   ' if goal['met'] else 'MISSED'}  {goal['goal']}: {goal['measured']}")


if __name__ == "__main__":
    main()
