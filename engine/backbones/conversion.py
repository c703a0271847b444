"""From an ONNX graph back to the parameters of the ``transformers`` model it was exported from.

Exporters keep the module path in the node names (``/vision_model/encoder/layers.0/mlp/fc1/MatMul``) but store linear
weights under meaningless ones (``onnx::MatMul_1558``), transposed to ``[in, out]``; quantisers then split each into an
integer matrix, a scale and a zero point. Everything else keeps its parameter name. The graph is only read, never run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.backbones.registry import EmbeddedModel

if TYPE_CHECKING:
    import onnx

_QUANTISED = "_quantized"


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
