"""The Triton kernels without a GPU: run in the interpreter, and compiled to machine code for two GPU generations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

KERNELS = {
    "row_support": ["group_maxima_kernel", "active_groups_kernel", "thresholds_kernel"],
    "row_support_fallback": ["fallback_kernel"],
    "csr_pack": ["pack_active_kernel", "pack_streaming_kernel"],
    "sparse_decode": ["gather_sum_kernel"],
    "sparse_dots": ["gather_dots_kernel"],
}

COMPILE = """
import json, sys
from importlib import import_module
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

TYPES = {"threshold_in": "*fp64", "threshold_out": "*fp64", "crow": "*i64"}
TYPES |= dict.fromkeys(["ids", "n_active", "status", "size_out", "col", "col_out"], "*i32")
TYPES |= dict.fromkeys(["row_stride", "n_atoms", "n_groups", "width", "left_stride", "table_stride"], "i32")
VALUES = {"GROUP": 32, "GROUPS_A_TILE": 64, "GROUPS": 2048, "CAP": 128, "OVERFLOW": 1, "BAD": 2, "ENTRIES": 8}
for module, names in json.loads(sys.argv[1]).items():
    for name in names:
        kernel = getattr(import_module("kernels.gpu." + module), name)
        gather = name.startswith("gather")
        values = VALUES | {"BLOCK": 256 if gather else 2048, "TILES": 3 if gather else 32}
        signature = {n: "constexpr" if n in values else TYPES.get(n, "*fp32") for n in kernel.arg_names}
        constants = {(i,): values[n] for i, n in enumerate(kernel.arg_names) if n in values}
        for capability in (80, 90):
            built = compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", capability, 32))
            assert len(built.asm["cubin"]) > 0
            print(name, capability)
"""


@pytest.mark.slow
def test_the_kernels_in_the_interpreter() -> None:
    """The files of ``gpu/`` on small shapes, in a process where Triton interprets."""
    folder = Path(__file__).parent / "gpu"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(folder)],
        env=os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.slow
def test_the_kernels_compile(tmp_path: Path) -> None:
    """To a cubin, for A100 (8.0) and H100 / H200 (9.0); needs no GPU."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE, json.dumps(KERNELS)],
        env={k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(done.stdout.split()) == 2 * 2 * sum(len(names) for names in KERNELS.values())
