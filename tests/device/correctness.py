"""Are the kernels right on this device? Supports, gradients, repeatability, 16-bit scores, waits of the host.

Supports are held against the optimality conditions (every row) and against a sort in float64 (some rows); gradients against
dense float64 autograd on the same winners.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernels import audit_supports, sparse_attention, sparse_decode, sparsemax_support, topk_attention
from kernels.dispatch import choose_backend
from kernels.products import score_product
from kernels.rows import Values
from tests.bench.kernels import scale_for
from tests.device.rows import Rows

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = [(64, 700, 24), (64, 2048, 48)]
REAL = [(4096, 4096, 384), (4096, 16384, 768), (4096, 10007, 768), (2048, 65536, 4096)]
"""Rows, atoms and width; one number of atoms that 32 does not divide."""
SUPPORTS = (5, 50, 700)
PROBABILITY = 1e-6
"""Largest error of a probability against float64 that counts as right, as in the tests of the kernels."""
GRADIENT = 1e-5
"""Largest relative error of a gradient, a norm over a norm, as in the tests of the kernels."""


def run(rows: Rows, device: torch.device, small: bool) -> None:
    """All checks, the likeliest to fail first."""
    chosen = choose_backend("auto", device, torch.float32)
    rows.holds("backend", device.type != "cuda" or chosen == "triton", chosen, "on a GPU it must be triton")
    for shape in SMALL if small else REAL:
        with rows.attempt(f"support {_named(shape)}"):
            check_supports(rows, device, *shape)
    gradient = (60, 500, 24) if small else (512, 16384, 768)
    for how in ("score", "probability", "topk"):
        with rows.attempt(f"gradients, {how}"):
            check_gradients(rows, device, how, *gradient)
    with rows.attempt("repeatability"):
        check_repeats(rows, device, *((200, 700, 32) if small else (4096, 16384, 768)))
    with rows.attempt("16-bit scores"):
        check_precision(rows, device, *((200, 2048, 48) if small else (2048, 16384, 768)))
    with rows.attempt("waits of the host"):
        check_waits(rows, device, *((200, 700, 32) if small else (4096, 16384, 768)))
    with rows.attempt("tests of the Triton kernels"):
        check_tests(rows, device)


def made(device: torch.device, *shape: int, seed: int) -> Tensor:
    """A Gaussian matrix, the same on every device."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(device)


def factors(device: torch.device, n: int, m: int, d: int, l0: float = 50.0) -> tuple[Tensor, Tensor]:
    """Queries [n, d] and atoms [m, d] whose supports average ``l0``."""
    q, atoms = made(device, n, d, seed=1), made(device, m, d, seed=2)
    few = score_product(q[:64], atoms)
    return q * scale_for(lambda scale: few * scale, l0), atoms


def check_supports(rows: Rows, device: torch.device, n: int, m: int, d: int) -> None:
    """Supports of several sizes, and rows in which every atom wins, which need the longer way."""
    base, atoms = factors(device, n, m, d, 5.0)
    scores = score_product(base, atoms)
    every = {f"L0 {l0}": scale_for(lambda scale: scores[:64] * scale, l0) for l0 in SUPPORTS if l0 < m / 2}
    every["all win"] = 1e-7
    for name, scale in every.items():
        part = scores[: 64 if name == "all win" else n] * scale
        with audit_supports(rows=64) as audit:
            found = sparsemax_support(part)
        right = audit.uncertified == 0 and audit.different == 0 and audit.max_error <= PROBABILITY
        mean = len(found.col) / len(part)
        what = f"{audit.uncertified} of {audit.rows:,} rows uncertified, {audit.different} of {audit.checked} differ from a sort"
        more = f"mean support {mean:.0f}, {audit.fallback} rows the longer way"
        rows.holds(f"support {_named((n, m, d))} {name}", right, audit.max_error, f"max error; {what}; {more}")
        if name == "all win":
            rows.holds(f"support {_named((n, m, d))} holds all", len(found.col) == part.numel(), len(found.col))
            if (
                choose_backend("auto", device, torch.float32) == "triton" and m > 2**12
            ):  # more groups than a row may list
                longer = f"support {_named((n, m, d))} takes the longer way"
                rows.holds(longer, audit.fallback == len(part), audit.fallback, f"of {len(part)} rows")


def check_gradients(rows: Rows, device: torch.device, how: str, n: int, m: int, d: int) -> None:
    """Gradients of queries, atoms and table, against dense float64 autograd on the winners that the kernels found."""
    q, atoms, table, target = _leaves(device, n, m, d)

    codes = _codes(how, q, atoms)
    out = sparse_decode(codes, table)
    (out * target).sum().backward()
    gate = torch.zeros(n, m, dtype=torch.bool, device=device)
    gate[codes.row, codes.col.long()] = True

    twins = [t.detach().double().requires_grad_() for t in (q, atoms, table)]
    z = twins[0] @ twins[1].T
    kept = torch.where(gate, z, 0.0)
    if how == "probability":
        tau = (kept.sum(dim=1, keepdim=True) - 1) / gate.sum(dim=1, keepdim=True)
        kept = torch.where(gate, z - tau, 0.0)
    dense = kept @ twins[2]
    (dense * target).sum().backward()
    error = max(
        [_relative(out.detach(), dense.detach())]
        + [_relative(_grad(a), _grad(b)) for a, b in zip((q, atoms, table), twins, strict=True)]
    )
    rows.holds(f"gradients, {how}", error <= GRADIENT, error, f"largest relative error; at most {GRADIENT:g}")
    if how == "topk":
        want = (q @ atoms.T).detach().topk(32, dim=1).values.amin(dim=1, keepdim=True)
        least = torch.where(gate, z.detach(), torch.inf).amin(dim=1, keepdim=True)
        worst = float((least - want).abs().max())
        same = bool(gate.sum(dim=1).eq(32).all()) and worst <= 1e-4
        rows.holds("topk, winners", same, worst, "difference of the least winner's score from torch.topk's")


def check_repeats(rows: Rows, device: torch.device, n: int, m: int, d: int) -> None:
    """The gradients of atoms (dC) and table (dV) of one step, three times, bit for bit."""

    def once() -> list[Tensor]:
        q, atoms, table, _ = _leaves(device, n, m, d)
        sparse_decode(_codes("probability", q, atoms), table).square().sum().backward()
        return [_grad(t) for t in (atoms, table, q)]

    first = once()
    others = [once() for _ in range(2)]
    for place, name in enumerate(("dC", "dV", "dq")):
        same = all(torch.equal(first[place], other[place]) for other in others)
        rows.holds(f"{name} repeats bit for bit", same, note="three runs")


def check_precision(rows: Rows, device: torch.device, n: int, m: int, d: int) -> None:
    """On how many rows scores of lower precision have the support of float64 scores. The kernels' supports are exact for the
    scores they are given; this says what the scores cost."""
    q, atoms = factors(device, n, m, d)
    wanted = _winners(sparsemax_support(q.double() @ atoms.double().T, "reference"), n, m)

    def share(scores: Tensor) -> float:
        return float(_winners(sparsemax_support(scores), n, m).eq(wanted).all(dim=1).float().mean())

    name = "share of supports as in float64"
    rows.measured(f"{name}: float32", share(score_product(q, atoms)))
    for dtype in (torch.bfloat16, torch.float16):
        a, b = q.to(dtype), atoms.to(dtype)
        scores = score_product(a, b) if device.type == "cuda" else a.float() @ b.float().T
        rows.measured(f"{name}: {str(dtype).removeprefix('torch.')} factors", share(scores), "summed in float32")
    if device.type != "cuda":
        rows.skipped(f"{name}: TF32", "needs CUDA")
        return
    torch.set_float32_matmul_precision("high")
    try:
        rows.measured(f"{name}: TF32", share(score_product(q, atoms)))
    finally:
        torch.set_float32_matmul_precision("highest")


def check_waits(rows: Rows, device: torch.device, n: int, m: int, d: int) -> None:
    """How often the host waits for the device inside one step: stated is once a chunk of scores, for the number of non-zeros."""
    name = "waits of the host in a step"
    if device.type != "cuda":
        rows.skipped(name, "needs CUDA")
        return
    q, atoms, table, target = _leaves(device, n, m, d)

    def step() -> None:
        (sparse_decode(_codes("score", q, atoms), table) * target).sum().backward()

    for _ in range(2):
        step()  # compiles, and asks the allocator
    count, places = waits(step)
    rows.holds(name, count <= 1, count, f"stated: 1; at {places}")


def waits(step: Callable[[], None]) -> tuple[int, str]:
    """How often the host waits for the GPU inside ``step``, and the lines where, as torch notices it."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found = [w for w in caught if "called a synchronizing" in str(w.message)]
    return len(found), ", ".join(sorted({f"{Path(w.filename).name}:{w.lineno}" for w in found})) or "no place"


def check_tests(rows: Rows, device: torch.device) -> None:
    """The tests of the Triton kernels, compiled, at their real sizes."""
    name = "tests/kernels/gpu"
    missing = [package for package in ("triton", "pytest", "hypothesis") if find_spec(package) is None]
    if device.type != "cuda" or missing:
        rows.skipped(name, "needs CUDA" if device.type != "cuda" else f"needs {', '.join(missing)}")
        return
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    sys.stderr.write(done.stdout)
    rows.holds(name, done.returncode == 0, note=(done.stdout.strip().splitlines() or ["no output"])[-1])


def _leaves(device: torch.device, n: int, m: int, d: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, atoms and table that want gradients, and a target [n, d]."""
    q, atoms = factors(device, n, m, d)
    leaves = [t.requires_grad_() for t in (q, atoms, made(device, m, d, seed=3))]
    return leaves[0], leaves[1], leaves[2], made(device, n, d, seed=4)


def _codes(how: str, q: Tensor, atoms: Tensor) -> Any:
    if how == "topk":
        return topk_attention(q, atoms, 32)
    values: Values = "probability" if how == "probability" else "score"
    return sparse_attention(q, atoms, values)


def _winners(support: Any, n: int, m: int) -> Tensor:
    found = torch.zeros(n, m, dtype=torch.bool, device=support.col.device)
    row = torch.repeat_interleave(torch.arange(n, device=found.device), support.crow.diff())
    found[row, support.col.long()] = True
    return found


def _grad(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def _relative(got: Tensor, want: Tensor) -> float:
    return float((got.double() - want).norm() / want.norm())


def _named(shape: tuple[int, ...]) -> str:
    return "N={} M={} d={}".format(*shape)
