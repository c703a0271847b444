"""How fast: supports and steps by the methods of ``tests/bench/kernels.py``, each in a process of its own, and encoding."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.sae import SparsemaxConfig, build_sae
from tests.bench import kernels as bench
from tests.bench.machine import apart
from tests.device.rows import Rows

SCRIPT = str(Path(bench.__file__))
SUPPORT = {"topk": "torch", "softmax": "torch", "entmax k=128": "entmax", "entmax sort": "entmax"}
ON_CUDA = {"adasplash": "adasplash", "liger": "liger_kernel"}
"""Methods beside ours, and the package each needs."""


def run(rows: Rows, device: torch.device, small: bool) -> None:
    """Supports, encoding, steps, and the bench's goals on them."""
    n, sizes = (256, [2048]) if small else (4096, [16384, 65536])
    results = [found for m in sizes for found in supports(rows, device.type, n, m)]
    with rows.attempt("encoding"):
        encoding(rows, device, *((512, 2048, 64, 4) if small else (8192, 16384, 768, 32)))
    results += [found for m in sizes for found in steps(rows, device.type, n, m)]
    for goal in bench.goals(results, device.type):
        rows.goal(goal["goal"], goal["met"], goal["measured"], "a goal set beforehand")


def supports(rows: Rows, device: str, n: int, m: int) -> Iterator[dict[str, Any]]:
    """Supports beside one read of the scores, which is the floor, and beside other functions of a row."""
    read = _measure(rows, "support", device, n, m, "read")
    ours = _measure(rows, "support", device, n, m, "ours")
    if read:
        rows.measured(f"support M={m}: read bandwidth, GB/s", n * m * 4 / read["ms"] / 1e6, "a maximum over every row")
        yield read
    if ours:
        yield ours
        right = ours["max_error"] <= 1e-6
        rows.holds(f"support M={m}: error of a probability", right, ours["max_error"], "against a float64 sort")
    if read and ours:
        share = read["ms"] / ours["ms"]
        rows.measured(f"support M={m}: share of the read bandwidth", round(share, 3), "read / ours, in time")
    others = SUPPORT | (ON_CUDA if device == "cuda" else {})
    for method, package in others.items():
        if find_spec(package) is None:
            rows.skipped(f"support M={m} {method}, ms", f"{package} is not installed")
        elif found := _measure(rows, "support", device, n, m, method, ours):
            yield found


def steps(rows: Rows, device: str, n: int, m: int) -> Iterator[dict[str, Any]]:
    """One training step, sparse and dense, both in float32."""
    ours = _measure(rows, "step", device, n, m, "ours score")
    if ours:
        yield ours
        rows.measured(f"step M={m} ours score, MB beside inputs", ours["peak_mb"])
    if found := _measure(rows, "step", device, n, m, "softmax", ours):
        yield found
        rows.measured(f"step M={m} softmax, MB beside inputs", found["peak_mb"])


def encoding(rows: Rows, device: torch.device, n: int, m: int, d: int, batches: int) -> None:
    """Tokens a second through a sparsemax SAE: activations that lie on the device, and activations in host memory."""
    generator = torch.Generator().manual_seed(0)
    sae = build_sae(SparsemaxConfig(d_model=d, n_atoms=m, scale=0.6, init="spread", normalise="standardise"), 0)
    sae = sae.to(device).eval()
    host = torch.randn(n, d, generator=generator)
    if device.type == "cuda":
        host = host.pin_memory()
    there = host.to(device)
    sae.initialise(there, torch.Generator().manual_seed(0))

    def rate(batch: Callable[[], Tensor]) -> float:
        with torch.inference_mode():
            sae.encode(batch())
            _wait(device)
            started = time.perf_counter()
            for _ in range(batches):
                sae.encode(batch())
            _wait(device)
        return round(n * batches / (time.perf_counter() - started))

    with torch.inference_mode():
        active = sae.encode(there).nnz / n
    note = f"M = {m:,}, d = {d}, {active:.0f} active atoms a token"
    rows.measured("encoding, tokens/s, on the device", rate(lambda: there), note)
    if device.type == "cuda":
        rows.measured("encoding, tokens/s, from pinned memory", rate(lambda: host.to(device, non_blocking=True)), note)
    else:
        rows.skipped("encoding, tokens/s, from pinned memory", "needs CUDA")


def _measure(
    rows: Rows, kind: str, device: str, n: int, m: int, method: str, ours: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    name, job = f"{kind} M={m} {method}, ms", {"kind": kind, "rows": n, "atoms": m, "method": method, "device": device}
    try:
        found = job | apart(SCRIPT, job)
    except subprocess.CalledProcessError as error:
        if method.startswith("ours") or method == "read":
            rows.holds(name, False, note=f"ended with status {error.returncode}; its last words are above")
        else:
            rows.skipped(name, f"the other package's method ended with status {error.returncode}")
        return None
    beside = f"{found['ms'] / ours['ms']:.2f} times ours; " if ours and ours["ms"] else ""
    rows.measured(name, found["ms"], f"{beside}N = {n}, L0 {found.get('l0', '-')}, median of {found['repetitions']}")
    return found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
