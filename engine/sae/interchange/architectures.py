"""Which architecture of ours is which of SAELens, and how its parameters are named on either side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from engine.errors import InputError
from engine.sae.base import SparseAutoencoder
from engine.sae.interchange.affine import AffineSAE, folded
from engine.sae.registry import build_sae, config_from_dict

Parts: TypeAlias = tuple[dict[str, Any], dict[str, Tensor]]
"""Settings and tensors of an SAE of ours, by its own names."""

CLIPPED = (
    "SAELens sets a negative code to zero, this TopK SAE keeps it: the two agree wherever a token's k largest scores are "
    "positive."
)


def to_affine(sae: SparseAutoencoder) -> AffineSAE:
    """``sae`` over raw activations, in SAELens's terms.

    Raises
    ------
    InputError
        If SAELens has no such architecture.
    """
    architecture = sae.config.architecture
    if architecture not in EXPORTS:
        raise InputError(
            f"SAELens has no {architecture} SAE, so a folder of its kind cannot hold this one; "
            f"what can be exported is: {', '.join(sorted(EXPORTS))}."
        )
    return EXPORTS[architecture](sae)


@torch.no_grad()
def from_affine(affine: AffineSAE) -> SparseAutoencoder:
    """An SAE of ours, without input normalisation, that gives the codes of ``affine``; on the CPU, in evaluation mode."""
    config, tensors = IMPORTS[affine.architecture](affine)
    n_atoms, d_model = affine.shape
    values = {"d_model": d_model, "n_atoms": n_atoms, "normalise": "none"} | config
    sae = build_sae(config_from_dict(values, "the imported SAE"))
    held = dict(sae.named_parameters()) | dict(sae.named_buffers())
    for name, tensor in tensors.items():
        held[name].copy_(tensor)
    return sae.eval()


def _exported(sae: Any, architecture: str, **settings: Any) -> AffineSAE:
    return folded(sae, architecture, sae.w_encoder, sae.b_pre, {"b_enc": sae.b_encoder}, **settings)


def _export_topk(sae: Any) -> AffineSAE:
    affine = _exported(sae, "topk", k=sae.config.k)
    return affine if sae.config.relu else replace(affine, notes=[CLIPPED])


def _export_jumprelu(sae: Any) -> AffineSAE:
    """JumpReLU as it is; BatchTopK and Matryoshka with their one threshold, which is how SAELens stores them too."""
    affine = _exported(sae, "jumprelu")
    threshold = sae.threshold.detach().float().expand(affine.shape[0]).clone()
    return replace(affine, vectors=affine.vectors | {"threshold": threshold})


def _export_gated(sae: Any) -> AffineSAE:
    vectors = {"b_gate": sae.b_encoder, "b_mag": sae.b_mag, "r_mag": sae.r_mag}
    return folded(sae, "gated", sae.w_encoder, sae.b_pre, vectors)


def _imported(affine: AffineSAE, architecture: str, bias: str = "b_enc", **settings: Any) -> Parts:
    tensors = {
        "w_encoder": affine.w_enc,
        "b_encoder": affine.vectors[bias],
        "atoms": affine.w_dec,
        "b_pre": affine.b_dec,
    }
    return {"architecture": architecture} | settings, tensors


def _import_topk(affine: AffineSAE) -> Parts:
    return _imported(affine, "topk", k=affine.settings["k"], relu=True)


def _import_jumprelu(affine: AffineSAE) -> Parts:
    config, tensors = _imported(affine, "jumprelu")
    # SAELens takes the ReLU as well, so that a threshold below zero acts as zero; ours is a positive number's logarithm.
    threshold = affine.vectors["threshold"].clamp_min(torch.finfo(torch.float32).tiny)
    return config, tensors | {"log_threshold": threshold.log()}


def _import_batchtopk(affine: AffineSAE) -> Parts:
    """A training checkpoint. The nested widths of a Matryoshka SAE have a part in training only."""
    k = min(max(round(affine.settings["k"]), 1), affine.shape[0])
    config, tensors = _imported(affine, "batchtopk", k=k)
    return config, tensors | {"threshold": affine.vectors["threshold"][0].clamp_min(0)}


def _import_gated(affine: AffineSAE) -> Parts:
    config, tensors = _imported(affine, "gated", bias="b_gate")
    return config, tensors | {"r_mag": affine.vectors["r_mag"], "b_mag": affine.vectors["b_mag"]}


EXPORTS: dict[str, Callable[[Any], AffineSAE]] = {
    "relu": lambda sae: _exported(sae, "standard"),
    "topk": _export_topk,
    "jumprelu": _export_jumprelu,
    "batchtopk": _export_jumprelu,
    "matryoshka": _export_jumprelu,
    "gated": _export_gated,
}
IMPORTS: dict[str, Callable[[AffineSAE], Parts]] = {
    "standard": lambda affine: _imported(affine, "relu"),
    "topk": _import_topk,
    "jumprelu": _import_jumprelu,
    "batchtopk": _import_batchtopk,
    "matryoshka_batchtopk": _import_batchtopk,
    "gated": _import_gated,
}
