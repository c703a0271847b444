"""Which architectures visual enhancement can act in, and where their parts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from engine.retrieval.fine.model import Mllm

_EXPERTS = ("experts", "router", "block_sparse_moe", "shared_expert")


@dataclass(frozen=True)
class Decoder:
    """The language half of a model.

    Attributes
    ----------
    module : Module
        Called with ``inputs_embeds``, where picture tokens already hold the picture.
    layers : list of Module
        Each with an ``mlp``.
    norm, head : Module
        Final norm and output projection: together the logit lens.
    """

    module: nn.Module
    layers: list[nn.Module]
    norm: nn.Module
    head: nn.Module


def find_decoder(mllm: Mllm) -> Decoder | None:
    """The decoder of a model, or None if it is not built of ``layers`` with a final norm and an output projection."""
    module: Any = mllm.model.get_decoder() if hasattr(mllm.model, "get_decoder") else None
    layers = getattr(module, "layers", None)
    norm, head = getattr(module, "norm", None), mllm.model.get_output_embeddings()
    if not isinstance(layers, nn.ModuleList) or not isinstance(norm, nn.Module) or not isinstance(head, nn.Module):
        return None
    return Decoder(module, list(layers), norm, head)


def fault(mllm: Mllm) -> str:
    """Why visual enhancement is not supported for this model, in one sentence; "" when it is."""
    name = mllm.identity["architecture"]
    not_here = f"Visual enhancement is not supported for {name}:"
    if getattr(mllm.model.config, "is_encoder_decoder", False):
        return f"{not_here} it is an encoder-decoder, and pictures are read by its encoder."
    decoder = find_decoder(mllm)
    if decoder is None:
        return f"{not_here} its decoder is not a plain stack of layers."
    if any(hasattr(layer, "cross_attn") for layer in decoder.layers):
        return f"{not_here} it sees pictures through cross-attention, not as tokens of the prompt."
    mlps = [getattr(layer, "mlp", None) for layer in decoder.layers]
    if any(
        hasattr(layer, part) or hasattr(layer_mlp, part)
        for layer, layer_mlp in zip(decoder.layers, mlps, strict=True)
        for part in _EXPERTS
    ):
        return f"{not_here} its MLPs are mixtures of experts."
    if not all(hasattr(mlp, "gate_proj") and hasattr(mlp, "down_proj") for mlp in mlps):
        return f"{not_here} its layers have no gated MLP."
    return ""
