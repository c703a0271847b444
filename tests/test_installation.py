"""What is installed: pyproject.toml gives ranges, requirements.lock exact versions inside them, the Makefile uses the lock."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = ROOT / "requirements.lock"


def named() -> list[Requirement]:
    """What pyproject.toml asks for, extras included; the project's own extras name what others list."""
    listed = [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]
    return [found for line in listed if (found := Requirement(line)).name != PROJECT["name"]]


def pins() -> dict[str, Requirement]:
    """The lock by name."""
    lines = [line for line in LOCK.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(found.name): found for line in lines for found in [Requirement(line)]}


def version(pin: Requirement) -> Version:
    """The version of a pin, which must be one exact version."""
    ((operator, number),) = [(one.operator, one.version) for one in pin.specifier]
    assert operator == "==" and "*" not in number, pin
    return Version(number)


def test_every_package_that_pyproject_names_is_pinned_inside_its_range() -> None:
    locked = pins()
    assert [str(one) for one in named() if canonicalize_name(one.name) not in locked] == []
    outside = [one for one in named() if not one.specifier.contains(version(locked[canonicalize_name(one.name)]))]
    assert [str(one) for one in outside] == []


def test_the_lock_pins_what_the_named_packages_ask_for() -> None:
    """Whatever is installed because pyproject names it, directly or not, has its line: a fresh install knows no choice."""
    locked, seen = pins(), set()
    waiting = [(one.name, frozenset(one.extras)) for one in named() if one.marker is None or one.marker.evaluate()]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        assert canonicalize_name(name) in locked, name
        try:
            asked = distribution(name).requires or []
        except ModuleNotFoundError:
            continue  # an extra that is not installed here, such as bench
        for one in map(Requirement, asked):
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append((one.name, frozenset(one.extras)))
    assert len(seen) > 100


def test_the_lock_serves_every_machine() -> None:
    """A constraints file without extras, addresses or a machine's own build; CUDA packages only where torch asks for them."""
    text = LOCK.read_text("utf-8")
    assert not re.search(r"://|@|\[|\+(?!cpu\))", text)
    assert all(version(pin).local is None and pin.url is None and not pin.extras for pin in pins().values())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(set(lines)) == len(pins())
    assert "Made by `make lock`" in text and re.search(r"on Python 3\.\d+\.\d+", text)
    assert "atomscope" not in pins() and {"nvidia-nccl-cu13", "cuda-toolkit", "triton"} <= pins().keys()
    assert not any(re.match("nvidia|cuda", one.name) for one in named())


def test_torch_is_pinned_in_one_place() -> None:
    (torch,) = [one for one in named() if one.name == "torch"]
    assert "==" not in str(torch.specifier)
    mentions = [path.name for path in (ROOT / "Makefile", ROOT / ".ci" / "run") if "torch==" in path.read_text("utf-8")]
    assert mentions == []


@pytest.fixture
def steps() -> dict[str, list[str]]:
    """What ``make`` would do for a target on a bare machine; the commands are printed, not run."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    found = {}
    for target in ("run", "check", "test", "test-newest", "lock"):
        command = ["make", "--dry-run", "--always-make", "--no-print-directory", "PYTHON=python3", target]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found[target] = done.stdout.splitlines()
    return found


def test_make_installs_from_the_lock(steps: dict[str, list[str]]) -> None:
    for target in ("run", "check", "test"):
        installs = [line for line in steps[target] if "pip install" in line]
        assert installs and all("-c requirements.lock -e" in line for line in installs)
    newest = [line for line in steps["test-newest"] if "pip install" in line]
    assert newest and all(line.startswith(".venv-newest/") and "requirements.lock" not in line for line in newest)
    assert not any("pip install" in line for line in steps["lock"])


def test_make_check_leaves_the_slow_tests_and_the_browser_to_make_test(steps: dict[str, list[str]]) -> None:
    lint = ("ruff check", "ruff format --check", "mypy")
    for target in ("check", "test"):
        assert all(any(tool in line for line in steps[target]) for tool in lint)
    (fast,) = [line for line in steps["check"] if "pytest" in line]
    assert '-m "not slow and not browser"' in fast
    for target in ("test", "test-newest"):
        whole = [line for line in steps[target] if "pytest" in line]
        assert [line.partition(" -m ")[2].partition(" -m ")[2] for line in whole] == ['"not browser"', "browser"]
