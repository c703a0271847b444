"""What a benchmark's figures were measured on."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any


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
