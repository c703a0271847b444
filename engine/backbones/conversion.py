"""From an ONNX graph or a GGUF file back to the parameters of the ``transformers`` model it was exported from.

ONNX: exporters keep the module path in the node names (``/vision_model/encoder/layers.0/mlp/fc1/MatMul``) but store linear
weights under meaningless ones (``onnx::MatMul_1558``), transposed to ``[in, out]``; quantisers then split each into an
integer matrix, a scale and a zero point. Everything else keeps its parameter name. The graph is only read, never run.

GGUF (Llama family): blocks of weights share a scale; names are llama.cpp's, and the rows of the query and key
projections are permuted for its form of rotary embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import numpy as np
from safetensors.numpy import load_file

from engine.backbones.registry import EmbeddedModel

if TYPE_CHECKING:
    import onnx

_QUANTISED = "_quantized"

# llama.cpp's names -> Hugging Face's, of one block and of the whole model.
_GGUF_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_GGUF_MODEL = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def parameters_of(path: Path, entry: EmbeddedModel) -> dict[str, np.ndarray]:
    """Recover every parameter of ``entry`` from its weight file: name -> float32 array in PyTorch's layout."""
    if entry.format == "onnx":
        return parameters_from_onnx(path, entry)
    if entry.format == "gguf":
        return parameters_from_gguf(path, entry)
    if entry.format == "safetensors":
        stored = load_file(path)
        return {name: value.astype(np.float32) for name, value in stored.items() if value.dtype.kind == "f"}
    assert_never(entry.format)


def parameters_from_gguf(path: Path, entry: EmbeddedModel) -> dict[str, np.ndarray]:
    """Recover the parameters of a Llama-family model from its GGUF file.

    Raises
    ------
    KeyError
        If the file holds a tensor that no Llama has.
    """
    from gguf import GGUFReader
    from gguf.quants import dequantize

    heads = {"attn_q": entry.config["num_attention_heads"], "attn_k": entry.config["num_key_value_heads"]}
    parameters = {}
    for tensor in GGUFReader(str(path)).tensors:
        value = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
        kind = tensor.name.removesuffix(".weight")
        if kind.startswith("blk."):
            _, layer, kind = kind.split(".")
            name = f"model.layers.{layer}.{_GGUF_BLOCK[kind]}"
        else:
            name = _GGUF_MODEL[kind]
        if kind in heads:
            # llama.cpp interleaves the two halves of each head's rotary pairs; Hugging Face keeps the halves apart.
            rows, width = value.shape
            value = value.reshape(heads[kind], rows // heads[kind] // 2, 2, width).swapaxes(1, 2).reshape(rows, width)
        parameters[f"{name}.weight"] = np.ascontiguousarray(value)
    return parameters


def save_gguf_tokenizer(path: Path, folder: Path) -> None:
    """Write the tokenizer and chat template that a GGUF file carries into a checkpoint folder."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)


def parameters_from_onnx(path: Path, entry: EmbeddedModel) -> dict[str, np.ndarray]:
    """Recover every parameter of ``entry`` from its ONNX file.

    Returns
    -------
    dict
        Parameter name -> float32 array in PyTorch's layout (linear weights ``[out, in]``).

    Raises
    ------
    KeyError
        If an initialiser named by the entry is not in the graph.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}

    def array(name: str) -> np.ndarray:
        return numpy_helper.to_array(stored[name])

    parameters = {
        name.removeprefix(entry.prefix): array(name).astype(np.float32)
        for name in stored
        if name.startswith(entry.prefix) and not name.startswith("onnx::")
    }
    for node in _linear_nodes(graph, stored):
        weight = array(node.input[1])
        if node.op_type == "MatMulInteger":
            scale = array(node.input[1].removesuffix(_QUANTISED) + "_scale")
            zero_point = array(node.input[3]).astype(np.float32)
            weight = (weight.astype(np.float32) - zero_point) * scale  # one scale per output channel, the last axis
        parameters[_module_of(node.name).removeprefix(entry.prefix) + ".weight"] = weight.astype(np.float32).T
    for name, (pieces, axis) in entry.joined.items():
        parameters[name] = np.concatenate([array(piece) for piece in pieces], axis=axis).astype(np.float32)
    for name, shape in entry.zeros.items():
        parameters[name] = np.zeros(shape, np.float32)
    return {name: np.ascontiguousarray(value) for name, value in parameters.items()}


def _linear_nodes(graph: onnx.GraphProto, stored: Mapping[str, object]) -> Iterator[onnx.NodeProto]:
    """Matrix products with a stored right-hand side: the linear layers. Attention's products have none."""
    for node in graph.node:
        if node.op_type in ("MatMul", "MatMulInteger") and node.input[1] in stored:
            yield node


def _module_of(node_name: str) -> str:
    """``/encoder/layers.0/mlp/fc1/MatMul_quant`` -> ``encoder.layers.0.mlp.fc1``."""
    return node_name.strip("/").rpartition("/")[0].replace("/", ".")
