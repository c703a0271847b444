"""The published checkpoint: read safely, computed as published, and refused clearly when it is something else."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.cli.main import run
from engine.errors import InputError
from engine.sae import load_sae
from engine.sae.interchange import import_sae

D, M = 12, 40


def state() -> dict[str, torch.Tensor]:
    """The tensors of a published checkpoint, those of the code it grew out of included."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (D, M), "b_enc": (M,), "W_dec": (M, D), "b_dec": (D,), "log_threshold": ()}
    shapes |= {"concept": (M, D), "v": (D, D), "k": (D, D)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An instance of a class by the name that the published settings have, in a module that is gone when it is read."""
    module = types.ModuleType("src.sae_training.config")
    made = type("ViTSAERunnerConfig", (), {"__module__": module.__name__})
    module.ViTSAERunnerConfig = made  # type: ignore[attr-defined]
    for name in ("src", "src.sae_training", module.__name__):
        monkeypatch.setitem(sys.modules, name, module if name == module.__name__ else types.ModuleType(name))
    found = made()
    found.__dict__.update(d_in=D, model_name="openai/clip-vit-base-patch16", block_layer=-2, dtype=torch.float32)
    return found


def test_it_computes_what_the_published_code_computes(settings: Any, tmp_path: Path, monkeypatch: Any) -> None:
    tensors, x = state(), torch.randn(30, D, generator=torch.Generator().manual_seed(1)) * 3
    torch.save({"cfg": settings, "state_dict": tensors}, tmp_path / "sae.pt")
    for name in ("src", "src.sae_training", "src.sae_training.config"):
        monkeypatch.delitem(sys.modules, name)
    imported = import_sae(tmp_path / "sae.pt")

    scores = x / x.norm(dim=1, keepdim=True) @ (tensors["concept"] @ tensors["k"]).T
    ordered = scores.sort(dim=1, descending=True).values
    size = (1 + torch.arange(1, M + 1) * ordered > ordered.cumsum(1)).sum(1, keepdim=True)
    tau = (ordered.cumsum(1).gather(1, size - 1) - 1) / size
    codes = scores * (scores > tau)
    x_hat = codes @ (tensors["concept"] @ tensors["v"]) * x.norm(dim=1, keepdim=True)

    torch.testing.assert_close(imported.sae.encode(x).dense(), codes, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(imported.sae(x).x_hat, x_hat, rtol=1e-4, atol=1e-4)
    assert imported.origin["metadata"] == {"model_name": "openai/clip-vit-base-patch16", "block_layer": -2}


def test_tensors_alone_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(state(), tmp_path / "sae.pt")
    assert run(["import", str(tmp_path / "sae.pt"), "-o", str(tmp_path / "run")]) == 0
    assert "sparsemax, 40 atoms of width 12" in capsys.readouterr().err
    assert torch.equal(load_sae(tmp_path / "run").atoms, state()["concept"])


class Mischief:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_objects_are_refused_and_never_made(tmp_path: Path) -> None:
    torch.save({"cfg": Mischief(tmp_path / "made"), "state_dict": state()}, tmp_path / "sae.pt")
    with pytest.raises(InputError, match="an object of .*mkdir.*could run code"):
        import_sae(tmp_path / "sae.pt")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"concept": None}, "tensor 'concept' is missing"),
        ({"k": torch.zeros(D, D + 1)}, r"k has shape \(12, 13\), but atoms of width 12"),
        ({"concept": torch.zeros(M)}, r"concept has shape \(40,\)"),
        ({"v": torch.full((D, D), torch.nan)}, "v has values that are not finite"),
        ({"k": torch.zeros(D, D, dtype=torch.int64)}, "k has values that are not finite numbers"),
        ({"query": torch.zeros(D, D)}, "tensor 'query' is unknown"),
    ],
)
def test_wrong_tensors_are_named(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    tensors = {name: value for name, value in (state() | change).items() if value is not None}
    torch.save({"state_dict": tensors}, tmp_path / "sae.pt")
    with pytest.raises(InputError, match=sentence):
        import_sae(tmp_path / "sae.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sae.pt").write_bytes(content)
    with pytest.raises(InputError, match="sae.pt"):
        import_sae(tmp_path / "sae.pt")


def test_a_checkpoint_of_something_else(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "sae.pt")
    with pytest.raises(InputError, match="is not a checkpoint of the sparsemax SAE"):
        import_sae(tmp_path / "sae.pt")
