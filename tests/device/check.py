"""Is this machine's GPU fast, and are the kernels right on it? Four parts, each in a process of its own with a time limit.

    python tests/device/check.py                       all parts (tests/device/run.sh finds the Python for it)
    python tests/device/check.py --small               small shapes; chosen by itself where there is no CUDA
    python tests/device/check.py --only correctness    one part, or several
    python tests/device/check.py --out FOLDER          where device.json goes

    correctness   supports, gradients, repeatability, 16-bit scores, how often the host waits for the device
    speed         rows and steps beside what else computes the same (tests/bench/kernels.py), encoding
    loop          a training of each kind on made activations, supports certified, a checkpoint resumed
    fine          a tiny LLaVA: batched and cached as one by one

It needs no network, no weights and no assets. A part that fails or runs out of time is a failed row and the others still run.
Outcomes: held, failed, measured (nothing depends on it), missed (a goal of speed), skipped (with the reason). Exit status 0
when nothing failed, 1 otherwise. ``device.json`` holds the machine, the versions and every row.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # a script's own folder comes first

from tests.bench.machine import machine  # noqa: E402
from tests.device.rows import Rows  # noqa: E402

LIMITS = {"correctness": 110, "speed": 195, "loop": 95, "fine": 75}
"""Seconds a part may take: 475 in all, under 8 minutes."""
NEEDS = {"loop": ("pandas", "pyarrow", "safetensors"), "fine": ("transformers", "PIL", "safetensors")}
"""Packages without which a part is skipped."""
PACKAGES = "torch triton numba numpy pandas pyarrow transformers entmax adasplash liger-kernel sae-lens".split()


def main() -> int:
    """Run the parts, print the table, write ``device.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small shapes; chosen by itself without CUDA")
    parser.add_argument("--only", nargs="+", choices=LIMITS, default=list(LIMITS), help="parts to run")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of device.json")
    parser.add_argument("--part", choices=LIMITS, help=argparse.SUPPRESS)  # inside a part's own process
    arguments = parser.parse_args()

    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    small = arguments.small or device == "cpu"
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.part:
        rows = Rows(arguments.out / f"{arguments.part}.jsonl", arguments.part)
        if missing := [package for package in NEEDS.get(arguments.part, ()) if find_spec(package) is None]:
            rows.skipped(arguments.part, f"needs {', '.join(missing)}")
            return 0
        part = import_module(f"tests.device.{arguments.part}")
        part.run(rows, torch.device(device), small)
        return 0

    started, found, seconds = time.perf_counter(), [], {}
    with tempfile.TemporaryDirectory() as work:
        for part in arguments.only:
            print(f"{part}, at most {LIMITS[part]} s ...", file=sys.stderr, flush=True)
            began = time.perf_counter()
            found += run_part(part, Path(work), small)
            seconds[part] = round(time.perf_counter() - began, 1)
    document = {
        "machine": machine(device),
        "versions": {package: _version(package) for package in PACKAGES},
        "shapes": "small" if small else "real",
        "seconds": seconds | {"all": round(time.perf_counter() - started, 1)},
        "rows": found,
        "held": all(row["outcome"] != "failed" for row in found),
    }
    path = arguments.out / "device.json"
    temporary = path.with_suffix(".json.partial")
    temporary.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    temporary.replace(path)
    print(report(document))
    return 0 if document["held"] else 1


def run_part(part: str, work: Path, small: bool) -> list[dict[str, Any]]:
    """The rows of one part; its end, when that was not its own, is a failed row of its own."""
    path = work / f"{part}.jsonl"
    command = [sys.executable, str(Path(__file__).resolve()), "--part", part, "--out", str(work)]
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "ATOMSCOPE_CACHE": str(work / "cache")}
    process = subprocess.Popen(
        command + ["--small"] * small, env=os.environ | offline, stdout=sys.stderr, start_new_session=True
    )
    rows = Rows(path, part)
    try:
        status = process.wait(LIMITS[part])
        if status:
            rows.holds(part, False, note=f"ended with status {status}; its last words are above")
    except subprocess.TimeoutExpired:
        rows.holds(part, False, note=f"out of time after {LIMITS[part]} s; what it had found stands")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # the part and the methods it runs in processes of their own
            process.wait()
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    if not found:
        found.append({"part": part, "name": part, "outcome": "failed", "value": "", "note": "found nothing"})
    return found


def report(document: dict[str, Any]) -> str:
    """The table, plain, so that it needs nothing installed."""
    cells = [("part", "what", "outcome", "value", "note")]
    for row in document["rows"]:
        value = f"{row['value']:.4g}" if isinstance(row["value"], float) else str(row["value"])
        cells.append((row["part"], row["name"], row["outcome"], value, row["note"]))
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in cells
    ]
    counts: dict[str, int] = {}
    for row in document["rows"]:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    about = ", ".join(f"{key} {value}" for key, value in document["machine"].items())
    last = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    spent = f"{document['shapes']} shapes, {document['seconds']['all']} s"
    if document["shapes"] == "small":
        spent += " (speeds at small shapes say nothing)"
    return "\n".join(["", *lines, "", f"machine: {about}", f"{spent}: {last}"])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
