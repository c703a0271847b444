"""Splicing on every vision architecture: what is put in is what the rest of the model sees, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.backbones import load_backbone
from engine.inspection.splice import RestOfModel, copy_sharing_weights, run_spliced

Checkpoint = Callable[[str], str]
KINDS = ["clip", "clip-vision", "siglip", "dinov2", "dinov2-registers", "dinov3", "vit"]


def input_for(kind: str, pixels: Tensor) -> Tensor:
    """DINOv2's processor here gives 32 x 48 pixels; the others 32 x 32."""
    return torch.cat([pixels, pixels[..., :16]], dim=-1) if kind == "dinov2" else pixels


@pytest.mark.parametrize("kind", KINDS)
def test_splicing_x_itself_changes_nothing(kind: str, checkpoint: Checkpoint, pixels: Tensor) -> None:
    x = input_for(kind, pixels)
    for site in ("residual", "mlp", "attention"):
        backbone = load_backbone(checkpoint(kind), -2, site, "patches", device="cpu")
        plain = backbone.run(x)
        seen: list[Tensor] = []
        spliced = run_spliced(backbone, x, lambda kept, seen=seen: seen.append(kept.clone()) or kept)
        assert torch.equal(spliced, plain.embeddings) and torch.equal(seen[0], plain.activations)
        assert not torch.allclose(run_spliced(backbone, x, torch.zeros_like), plain.embeddings, atol=1e-3)
        assert torch.equal(backbone.run(x).embeddings, plain.embeddings)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tail_is_the_rest_of_the_full_pass(kind: str, checkpoint: Checkpoint, pixels: Tensor) -> None:
    x = input_for(kind, pixels)
    for layer in (0, -2, -1):
        backbone = load_backbone(checkpoint(kind), layer, device="cpu")
        tail, plain = RestOfModel(backbone), backbone.run(x)
        torch.testing.assert_close(tail(plain.activations), plain.embeddings, atol=1e-6, rtol=0)
        other = plain.activations.flip(0) * 1.5
        wanted = run_spliced(backbone, x, lambda _kept, other=other: other)
        torch.testing.assert_close(tail(other), wanted, atol=1e-6, rtol=0)
        alike = torch.zeros_like(other)
        torch.testing.assert_close(tail(alike), run_spliced(backbone, x, torch.zeros_like), atol=1e-6, rtol=0)


def test_the_splice_is_what_a_hook_on_the_model_would_do(checkpoint: Checkpoint, pixels: Tensor) -> None:
    backbone = load_backbone(checkpoint("clip"), 1, tokens="cls", device="cpu")
    spliced = run_spliced(backbone, pixels, lambda kept: kept * 3 + 1)

    def by_hand(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, 0] = output[:, 0] * 3 + 1
        return output

    handle = backbone.listened.register_forward_hook(by_hand)
    with torch.no_grad():
        wanted = nn.functional.normalize(backbone.model(pixels).image_embeds, dim=-1)
    handle.remove()
    torch.testing.assert_close(spliced, wanted)


def test_a_failing_splice_leaves_the_model_as_it_was(checkpoint: Checkpoint, pixels: Tensor) -> None:
    backbone = load_backbone(checkpoint("clip"), -2, device="cpu")
    hooks = {name: len(module._forward_hooks) for name, module in backbone.model.named_modules()}
    plain = backbone.run(pixels).embeddings

    def fail(_kept: Tensor) -> Tensor:
        raise ArithmeticError("on purpose")

    with pytest.raises(ArithmeticError):
        run_spliced(backbone, pixels, fail)
    assert torch.equal(backbone.run(pixels).embeddings, plain)
    assert hooks == {name: len(module._forward_hooks) for name, module in backbone.model.named_modules()}


def test_threads_do_not_see_each_others_splices(checkpoint: Checkpoint, pixels: Tensor) -> None:
    backbone = load_backbone(checkpoint("clip"), -2, device="cpu")
    plain = backbone.run(pixels)
    tail = RestOfModel(backbone)

    def once(index: int) -> Tensor:
        if index % 3 == 2:
            return backbone.run(pixels).embeddings
        if index % 3 == 1:
            return tail(plain.activations * (1 + index))
        return run_spliced(backbone, pixels, lambda kept: kept * (1 + index))

    alone = [once(index) for index in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(once, range(12)))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_a_tail_needs_the_whole_residual_stream(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="mlp output alone"):
        RestOfModel(load_backbone(checkpoint("clip"), -2, "mlp", device="cpu"))
    with pytest.raises(ValueError, match="some positions of the layer are not kept"):
        RestOfModel(load_backbone(checkpoint("clip"), -2, tokens="patches", device="cpu"))
    assert RestOfModel(
        load_backbone(checkpoint("siglip"), -2, tokens="patches", device="cpu")
    )  # SigLIP has patches only


def test_a_twin_shares_weights_and_only_weights() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    twin, (inner,) = copy_sharing_weights(model, model[1][0])
    assert inner is twin[1][0] is not model[1][0] and twin[0] is model[0] and twin[1] is not model[1]
    assert inner.weight is model[1][0].weight
    inner.forward = torch.zeros_like
    assert twin(torch.ones(1, 2)).sum() == 0
    assert "forward" not in vars(model[1][0])
    with pytest.raises(ValueError, match="is not a part of"):
        copy_sharing_weights(model, nn.Linear(2, 2))
