"""Every architecture's layers, sites and tokens against the model's own outputs and a computation by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.backbones import load_backbone
from engine.errors import AtomscopeError, InputError

Checkpoint = Callable[[str], str]

KINDS = ["clip", "clip-vision", "siglip", "dinov2", "dinov2-registers", "dinov3", "vit"]
# Prefix tokens: CLS, then registers.
PREFIX = {"clip": 1, "clip-vision": 1, "siglip": 0, "dinov2": 1, "dinov2-registers": 5, "dinov3": 5, "vit": 1}


def input_for(kind: str, pixels: Tensor) -> Tensor:
    """DINOv2's processor here gives 32 x 48 pixels; the others 32 x 32."""
    return torch.cat([pixels, pixels[..., :16]], dim=-1) if kind == "dinov2" else pixels


def sublayers(block: Any, before: Tensor, extra: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """What attention and MLP of a pre-norm block add to the stream ``before``, computed from its parts by hand."""
    if hasattr(block, "self_attn"):  # CLIP, SigLIP
        attention = block.self_attn(block.layer_norm1(before), attention_mask=None)[0]
        return attention, block.mlp(block.layer_norm2(before + attention))
    if hasattr(block, "layernorm_before"):  # ViT
        attention = block.attention(block.layernorm_before(before))[0]
        return attention, block.mlp(block.layernorm_after(before + attention))
    attention = block.attention(block.norm1(before), **extra)[0] * block.layer_scale1.lambda1  # DINO
    return attention, block.mlp(block.norm2(before + attention)) * block.layer_scale2.lambda1


@pytest.mark.parametrize("kind", KINDS)
def test_residual_stream_is_hidden_states(kind: str, checkpoint: Checkpoint, pixels: Tensor) -> None:
    x = input_for(kind, pixels)
    for layer in (0, 1, -2, -1):
        backbone = load_backbone(checkpoint(kind), layer, device="cpu")
        with torch.no_grad():
            states = backbone.model(x, output_hidden_states=True).hidden_states
        index = layer % 4
        assert backbone.spec.layer == layer
        assert backbone.spec.layer_index == index
        assert torch.equal(backbone.run(x).activations, states[index + 1])


@pytest.mark.parametrize("kind", KINDS)
def test_attention_and_mlp_equal_a_computation_by_hand(kind: str, checkpoint: Checkpoint, pixels: Tensor) -> None:
    x = input_for(kind, pixels)
    attention = load_backbone(checkpoint(kind), 1, "attention", device="cpu")
    mlp = load_backbone(checkpoint(kind), 1, "mlp", device="cpu")
    block = next(m for m in attention.model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 4)[1]
    extra = {"position_embeddings": attention.model.rope_embeddings(x)} if kind == "dinov3" else {}
    with torch.no_grad():
        states = attention.model(x, output_hidden_states=True).hidden_states
        expected_attention, expected_mlp = sublayers(block, states[1], extra)
    torch.testing.assert_close(attention.run(x).activations, expected_attention)
    torch.testing.assert_close(mlp.run(x).activations, expected_mlp)
    torch.testing.assert_close(states[1] + expected_attention + expected_mlp, states[2])


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_grid_and_prefix(kind: str, checkpoint: Checkpoint, pixels: Tensor) -> None:
    x = input_for(kind, pixels)
    whole = load_backbone(checkpoint(kind), device="cpu")
    patches = load_backbone(checkpoint(kind), tokens="patches", device="cpu")
    grid = [4, 6] if kind == "dinov2" else [4, 4]
    assert (whole.spec.grid, whole.spec.prefix) == (grid, PREFIX[kind])
    assert (patches.spec.grid, patches.spec.prefix) == (grid, 0)
    activations = whole.run(x).activations
    assert activations.shape == (3, whole.spec.n_positions, 32)
    assert torch.equal(patches.run(x).activations, activations[:, PREFIX[kind] :])
    if PREFIX[kind]:
        cls = load_backbone(checkpoint(kind), tokens="cls", device="cpu")
        assert (cls.spec.grid, cls.spec.prefix, cls.spec.n_positions) == ([0, 0], 1, 1)
        assert torch.equal(cls.run(x).activations, activations[:, :1])
    else:
        with pytest.raises(InputError, match="no CLS token; use --tokens patches"):
            load_backbone(checkpoint(kind), tokens="cls", device="cpu")


@pytest.mark.parametrize(
    ("kind", "embedding"),
    [("clip", "projected output"), ("siglip", "pooled output"), ("dinov2", "pooled output"), ("vit", "CLS token")],
)
def test_embeddings_are_the_models_own(kind: str, embedding: str, checkpoint: Checkpoint, pixels: Tensor) -> None:
    import transformers

    x = input_for(kind, pixels)
    backbone = load_backbone(checkpoint(kind), device="cpu")
    whole: Any = transformers.AutoModel.from_pretrained(checkpoint(kind)).eval()
    with torch.no_grad():
        if kind in ("clip", "siglip"):
            expected = whole.get_image_features(x)
            expected = getattr(expected, "pooler_output", expected)
        else:
            expected = whole(x).last_hidden_state[:, 0]
    # A classifier has no pooler: AutoModel would invent a random one, which must not be used.
    assert backbone.spec.embedding == embedding
    torch.testing.assert_close(backbone.run(x).embeddings, torch.nn.functional.normalize(expected, dim=-1))


def test_only_the_vision_tower_of_a_dual_model_is_loaded(checkpoint: Checkpoint) -> None:
    for kind in ("clip", "siglip"):
        names = [name for name, _ in load_backbone(checkpoint(kind), device="cpu").model.named_parameters()]
        assert names
        assert not [name for name in names if "text" in name]


def test_activations_do_not_carry_gradients_but_can_be_trained_on(checkpoint: Checkpoint, pixels: Tensor) -> None:
    activations = load_backbone(checkpoint("clip"), device="cpu").run(pixels).activations
    weight = torch.ones(32, requires_grad=True)
    (activations @ weight).sum().backward()  # fails for tensors of inference mode
    assert weight.grad is not None


def test_spec_is_json_and_says_which_bytes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    spec = load_backbone(checkpoint("clip"), device="cpu").spec
    record = json.loads(json.dumps(spec.to_dict()))
    assert record["architecture"] == "CLIPVisionModelWithProjection"
    assert record["revision"].startswith("sha256:")
    assert record["preprocessing"]["size"] == {"shortest_edge": 32}
    other = tmp_path / "other"
    shutil.copytree(checkpoint("clip"), other)
    assert load_backbone(str(other), device="cpu").spec.revision == spec.revision
    with (other / "config.json").open("a") as file:
        file.write("\n")
    assert load_backbone(str(other), device="cpu").spec.revision != spec.revision


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"layer": 4}, "has no layer 4: it has 4 blocks, so a layer is 0 to 3 or -1"),
        ({"layer": -5}, "has no layer -5"),
        ({"site": "logits"}, "Unknown site 'logits'; choose one of: residual, mlp, attention"),
        ({"tokens": "some"}, "Unknown tokens 'some'"),
        ({"device": "abacus"}, "no device 'abacus'"),
    ],
)
def test_wrong_options_are_one_sentence(arguments: dict[str, Any], sentence: str, checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match=sentence):
        load_backbone(checkpoint("clip"), **{"device": "cpu", **arguments})


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no model folder"):
        load_backbone(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no config\.json"):
        load_backbone(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="neither a hub id nor a folder"):
        load_backbone("not a name!")
    # The tests run with the hub switched off, as a machine without a network.
    with pytest.raises(AtomscopeError, match=r"hub cannot be reached\. Name a local folder .* clip-vit-b16") as caught:
        load_backbone("somebody/some-model")
    assert not isinstance(caught.value, InputError)


def test_models_that_do_not_fit(tmp_path: Path, checkpoint: Checkpoint) -> None:
    import transformers as t

    t.GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=10).save_pretrained(tmp_path / "text")
    with pytest.raises(InputError, match=r"\(gpt2\) is not a vision transformer"):
        load_backbone(str(tmp_path / "text"))
    t.SwinConfig(depths=[1, 1], num_heads=[1, 1], embed_dim=8).save_pretrained(tmp_path / "swin")
    with pytest.raises(InputError, match=r"swin"):
        load_backbone(str(tmp_path / "swin"))
    t.Siglip2Config().save_pretrained(tmp_path / "naflex")
    with pytest.raises(InputError, match="NaFlex"):
        load_backbone(str(tmp_path / "naflex"))
    half = tmp_path / "half"
    shutil.copytree(checkpoint("vit"), half)
    config = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 6}))
    with pytest.raises(InputError, match="does not fill its architecture"):
        load_backbone(str(half))
    (half / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_backbone(str(half))


def test_transformers_keeps_its_voice(checkpoint: Checkpoint) -> None:
    """Loading is silent, and leaves transformers' own settings as they were."""
    import transformers

    before = transformers.utils.logging.get_verbosity(), transformers.utils.logging.is_progress_bar_enabled()
    load_backbone(checkpoint("clip"), device="cpu")
    assert before == (transformers.utils.logging.get_verbosity(), transformers.utils.logging.is_progress_bar_enabled())


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(checkpoint: Checkpoint, pixels: Tensor) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    cpu, cuda = (load_backbone(checkpoint("clip"), device=device).run(pixels) for device in ("cpu", "cuda"))
    torch.testing.assert_close(cuda.activations.cpu(), cpu.activations, rtol=1e-3, atol=1e-3)
