"""The device a name means, and one sentence for a name that means none here."""

from __future__ import annotations

import pytest
import torch

from engine.device import pick_device
from engine.errors import InputError


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "abacus", "meta", "cuda:77", "cpu:x", ""):
        with pytest.raises(InputError, match=f"There is no device {name!r} on this machine: use auto"):
            pick_device(name)
