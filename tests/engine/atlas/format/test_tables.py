"""Arrays whose writing says when the disk is full."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from engine.atlas.format.tables import save_array
from engine.errors import AtomscopeError
from engine.files import explain_os_errors


def test_arrays_round_trip(tmp_path: Path) -> None:
    for array in (np.arange(7, dtype=np.int32), np.zeros((0, 2)), np.asfortranarray(np.random.rand(3, 4))):
        save_array(tmp_path / "a.npy", array)
        assert np.array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), array)
    with pytest.raises(ValueError, match="Object arrays"):
        save_array(tmp_path / "a.npy", np.array([{}], object))


def test_a_full_disk_has_its_number() -> None:
    with pytest.raises(OSError) as caught:
        save_array(Path("/dev/full"), np.zeros(10_000))
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(AtomscopeError, match="No space left while writing"), explain_os_errors(Path("/dev/full")):
        save_array(Path("/dev/full"), np.zeros(10_000))
