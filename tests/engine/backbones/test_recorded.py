"""A backbone loaded again from what a store or an atlas says of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.backbones import LanguageBackbone, load_backbone, load_backbone_of
from engine.errors import AtomscopeError, InputError
from engine.progress import SilentProgress
from tests.engine.backbones.language_models import save_language_model

Checkpoint = Callable[[str], str]


def test_layer_site_and_tokens_come_back(checkpoint: Checkpoint, pixels: Tensor) -> None:
    first = load_backbone(checkpoint("clip"), 1, "mlp", "patches", "cpu")
    for record in (first.spec, first.spec.to_dict()):
        progress = SilentProgress()
        again = load_backbone_of(record, "store", "cpu", progress)
        assert again.spec == first.spec and not progress.warnings
        assert torch.equal(again.run(pixels).activations, first.run(pixels).activations)


def test_language_models_come_back_with_their_context(tmp_path: Path) -> None:
    folder = save_language_model(tmp_path / "llama")
    first = load_backbone(str(folder), 1, device="cpu", modality="text", context=12)
    again = load_backbone_of(first.spec.to_dict(), "store", "cpu")
    assert isinstance(again, LanguageBackbone) and again.spec == first.spec and again.spec.context == 12


def test_other_weights_are_told_or_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint("clip"), folder)
    record, progress = load_backbone(str(folder), device="cpu").spec.to_dict(), SilentProgress()
    with (folder / "config.json").open("a") as file:
        file.write("\n")
    load_backbone_of(record, tmp_path / "store", "cpu", progress)
    assert progress.warnings == [
        f"the weights of {folder} are not those {tmp_path / 'store'} was made with; the figures may differ"
    ]
    with pytest.raises(InputError, match="The weights of .* are not those .* was made with"):
        load_backbone_of(record, tmp_path / "store", "cpu", strict=True)
    with pytest.raises(InputError, match="old does not say which model it was made with .*'site'"):
        load_backbone_of({"name": "tiny", "layer": 1}, "old", "cpu")


def test_the_recorded_commit_of_a_hub_model_is_loaded(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub cache with two commits: the newest has other weights than the one on record."""
    old, new = "a" * 40, "b" * 40
    cached = tmp_path / "models--somebody--some-model"
    for commit in (old, new):
        shutil.copytree(checkpoint("clip"), cached / "snapshots" / commit)
    weights = cached / "snapshots" / new / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(new)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    newest = load_backbone("somebody/some-model", device="cpu")
    assert newest.spec.revision == new
    recorded = load_backbone_of(newest.spec.to_dict() | {"revision": old}, "store", "cpu", strict=True)
    assert recorded.spec.revision == old
    kept = load_backbone(checkpoint("clip"), device="cpu")
    for name, parameter in recorded.model.named_parameters():
        assert torch.equal(parameter, kept.model.get_parameter(name))
    assert not torch.equal(next(newest.model.parameters()), next(kept.model.parameters()))
    with pytest.raises(AtomscopeError, match="some-model at commit cccccccccccc is not on this machine"):
        load_backbone_of(newest.spec.to_dict() | {"revision": "c" * 40}, "store", "cpu")
