"""The work folder of an atlas is held by one build at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.atlas.build.work_folder import hold_work_folder
from engine.errors import InputError


def test_a_second_build_of_the_same_atlas_is_refused(tmp_path: Path) -> None:
    with hold_work_folder(tmp_path / "atlas") as work:
        assert work.is_dir() and work.parent == tmp_path
        with (
            pytest.raises(InputError, match=r"atlas is being built by another process right now\."),
            hold_work_folder(tmp_path / "atlas"),
        ):
            pass
        with hold_work_folder(tmp_path / "other") as other:
            assert other != work
    with hold_work_folder(tmp_path / "atlas") as again:
        assert again == work
    with pytest.raises(KeyboardInterrupt), hold_work_folder(tmp_path / "atlas"):
        raise KeyboardInterrupt
    assert not list(tmp_path.glob("*.lock")) and not list(tmp_path.glob(".*.lock"))
