"""Which device work runs on: the one reading of what ``--device`` says."""

from __future__ import annotations

import torch

from engine.errors import InputError


def pick_device(name: str) -> torch.device:
    """The torch device called ``name``: auto (CUDA where there is one, else the CPU), cpu, cuda or cuda:N.

    Raises
    ------
    InputError
        If there is no such device on this machine, or it holds no numbers (meta).
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # CUDA-free builds of torch assert
        raise InputError(
            f"There is no device {name!r} on this machine: use auto, cpu, cuda or cuda:N, such as --device cpu."
        ) from error
    return device
