"""What a benchmark's figures were measured on, and how one method is kept from disturbing the next."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any


def apart(script: str, job: dict[str, Any]) -> dict[str, Any]:
    """What ``script --worker JOB`` prints as its last line: one method, in a process of its own."""
    command = [sys.executable, script, "--worker", json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    cpu = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        family = {
            key: next(x.split(":")[1].strip() for x in lines if x.startswith(key))
            for key in ("model name", "cpu family")
        }
        cpu = f"{family['model name']} (family {family['cpu family']})"
    except (OSError, StopIteration):
        pass
    found = {
        "cpu": cpu,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
    return found
