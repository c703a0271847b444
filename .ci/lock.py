"""The lock of exact versions: `make lock` runs this with the Python of the environment whose versions passed the tests.

    python .ci/lock.py cuda    print the versions that the CUDA build of the installed torch asks for, as pip constraints
    python .ci/lock.py write   write requirements.lock: what is installed here, and what the CUDA build asks for

A machine without a GPU has a torch that asks for none of the CUDA packages, so they are read from the metadata of the build
that the package index serves. No wheel is downloaded for it.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"
_LEFT_OUT = {"atomscope", "pip", "wheel"}
_HEADER = """\
# Exact versions, tested together. A constraints file: it says which version of a package is installed, not which packages are.
#     pip install -c requirements.lock -e .
# Made by `make lock` from what `make test-newest` had tested, on Python {python}. Change pyproject.toml, not this file.
# The one pin of torch: a CPU build of this version (2.13.0+cpu) satisfies it as the CUDA build does.
"""
_CUDA = """
# What the CUDA build of torch {torch} asks for besides; a CPU build brings none of it.
"""


def main(mode: str) -> None:
    """Run one mode; an unknown one ends with exit status 2."""
    if mode not in ("cuda", "write"):
        sys.exit(2)
    torch = version("torch").partition("+")[0]
    cuda = cuda_versions(torch)
    if mode == "cuda":
        print("\n".join(lines(cuda)))
        return
    here = installed()
    if other := [name for name in sorted(cuda) if here.get(name, cuda[name]) != cuda[name]]:
        sys.exit(
            f"error: torch {torch} for CUDA asks for {other[0]} {cuda[other[0]]}, and {here[other[0]]} is installed here: "
            "run `make test-newest` again."
        )
    rest = {name: number for name, number in cuda.items() if name not in here}
    header = _HEADER.format(python=platform.python_version())
    LOCK.write_text("\n".join([header, *lines(here), _CUDA.format(torch=torch), *lines(rest), ""]), "utf-8")
    print(f"{LOCK.name}: {len(here) + len(rest)} packages")


def installed() -> dict[str, str]:
    """Versions by normalised name of all that is installed for this Python, without the suffix of a machine's own build."""
    found = {_normal(one.metadata["Name"]): one.version.partition("+")[0] for one in distributions()}
    return {name: number for name, number in found.items() if name not in _LEFT_OUT}


def cuda_versions(torch: str) -> dict[str, str]:
    """Versions by normalised name of triton and the CUDA packages that the CUDA build of this torch brings to Linux."""
    # "===" takes the release itself and no build of a machine's own, such as 2.13.0+cpu.
    command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--dry-run"]
    command += ["--ignore-installed", "--use-feature=fast-deps", "--report", "-", f"torch==={torch}"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found = {_normal(one["metadata"]["name"]): one["metadata"]["version"] for one in report["install"]}
    return {name: number for name, number in found.items() if re.match(r"(nvidia|cuda)-|triton$", name)}


def lines(versions: dict[str, str]) -> list[str]:
    """One pin a line, by name."""
    return [f"{name}=={versions[name]}" for name in sorted(versions)]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
