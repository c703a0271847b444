"""transformers looks for a package named ``kernels`` and finds ours: they get along, and a foreign one is met."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.paths import ROOT


def run_python(code: str, *path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter with ``path`` in front of everything else."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_transformers_runs_a_model_with_ours_on_the_path(tmp_path: Path) -> None:
    code = """
import torch, transformers
from transformers import CLIPVisionConfig, CLIPVisionModel
torch.manual_seed(0)
config = CLIPVisionConfig(
    hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16
)
output = CLIPVisionModel(config).eval()(torch.randn(2, 3, 32, 32), output_hidden_states=True)
assert output.last_hidden_state.shape == (2, 5, 16) and len(output.hidden_states) == 3
assert output.last_hidden_state.isfinite().all()
import kernels
print(kernels.__file__)
"""
    done = run_python(code, ROOT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == ROOT / "kernels" / "__init__.py"


def test_importing_kernels_imports_neither_torch_nor_triton(tmp_path: Path) -> None:
    code = """
import sys, kernels
assert not hasattr(kernels, "__version__")
print([name for name in ("torch", "triton", "numba", "numpy", "transformers") if name in sys.modules])
"""
    done = run_python(code, ROOT, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def foreign_kernels(folder: Path) -> Path:
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels" / "__init__.py").write_text('__version__ = "0.99.0"\ndef get_kernel(name): ...\n', "utf-8")
    return folder


def test_a_foreign_kernels_package_is_met_with_one_sentence(tmp_path: Path) -> None:
    code = """
import engine
from engine.errors import InputError
for statement in ("import kernels", "from kernels import SparseCodes", "import engine.sae"):
    try:
        exec(statement)
    except InputError as error:
        print(error)
    else:
        print("not refused:", statement)
"""
    done = run_python(code, foreign_kernels(tmp_path / "site"), ROOT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sentences = done.stdout.splitlines()
    assert len(sentences) == 3
    for sentence in sentences:
        assert sentence.startswith(f"Another package named kernels ({tmp_path / 'site' / 'kernels'}) hides the one")
        assert "pip uninstall kernels" in sentence


def test_one_that_was_imported_first_does_not_stand_in_for_ours(tmp_path: Path) -> None:
    code = """
import kernels, engine
from engine.errors import InputError
try:
    from kernels import SparseCodes
except InputError as error:
    print(error)
"""
    done = run_python(code, foreign_kernels(tmp_path / "site"), ROOT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pip uninstall kernels" in done.stdout


def test_the_command_line_says_it_without_a_traceback(tmp_path: Path) -> None:
    code = """
import sys
from engine.cli.main import run
sys.exit(run(["train", "--acts", "nowhere", "-o", "run"]))
"""
    done = run_python(code, foreign_kernels(tmp_path / "site"), ROOT, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Another package named kernels") and done.stderr.count("\n") == 1
