"""The form in which SAEs are exchanged: an affine encoder and decoder over raw activations, and what selects the codes.

    z = (x - b_dec) w_enc^T + b_enc,    a = selection of z,    x_hat = a w_dec + b_dec

Whatever input normalisation an SAE of ours has, u = (x - mean) / scale, is affine as well and goes into these weights: dividing
the columns of the encoder by ``scale``, multiplying those of the decoder by it, and moving the bias. Scores, and with them
the selected codes, stay the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from engine.sae.base import TINY, SparseAutoencoder


@dataclass(frozen=True)
class AffineSAE:
    """One SAE as its weights over raw activations, float32 on the CPU.

    Attributes
    ----------
    architecture : str
        What selects the codes, by SAELens's name: standard, topk, jumprelu, gated, batchtopk or matryoshka_batchtopk.
    w_enc, w_dec : [M, d]
    b_dec : [d]
        Subtracted from the input and added to the output.
    vectors : dict of [M]
        By SAELens's names: ``b_enc``; ``threshold`` of jumprelu and of the BatchTopK family; ``b_gate``, ``b_mag`` and
        ``r_mag`` of gated.
    settings : dict
        ``k`` of the TopK family.
    notes : list of str
        Sentences on what the other side computes differently.
    """

    architecture: str
    w_enc: Tensor
    w_dec: Tensor
    b_dec: Tensor
    vectors: dict[str, Tensor]
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        """M and d."""
        return self.w_enc.shape[0], self.w_enc.shape[1]


@torch.no_grad()
def folded(
    sae: SparseAutoencoder, architecture: str, w_enc: Tensor, b_pre: Tensor, vectors: dict[str, Tensor], **settings: Any
) -> AffineSAE:
    """An SAE of ours with z = (u - b_pre) w_enc^T and u_hat = a atoms + b_pre, its input normalisation folded in."""
    scale, mean = sae.input_scale.double(), sae.input_mean.double()
    return AffineSAE(
        architecture,
        w_enc=(w_enc.double() / scale).float().cpu(),
        w_dec=(sae.atoms.double() * scale).float().cpu(),
        b_dec=(b_pre.double() * scale + mean).float().cpu(),
        vectors={name: vector.detach().float().cpu() for name, vector in vectors.items()},
        settings=settings,
    )


def without_input_bias(sae: AffineSAE, biases: tuple[str, ...]) -> AffineSAE:
    """The same codes for weights whose encoder read x, not x - b_dec: what b_dec would take away, ``biases`` give back.

    ``b_mag`` belongs to scores of which each atom's are multiplied by its exp(r_mag).
    """
    shift = sae.w_enc.double() @ sae.b_dec.double()
    moved = {}
    for name in biases:
        factor = sae.vectors["r_mag"].double().exp() if name == "b_mag" else 1.0
        moved[name] = (sae.vectors[name].double() + shift * factor).float()
    return replace(sae, vectors=sae.vectors | moved)


def with_unit_atoms(sae: AffineSAE) -> AffineSAE:
    """The SAE whose scores are multiplied by the lengths of the atoms, and its codes divided by them, without either."""
    length = sae.w_dec.norm(dim=1).clamp_min(TINY)
    return replace(
        sae,
        w_enc=sae.w_enc * length[:, None],
        w_dec=sae.w_dec / length[:, None],
        vectors=sae.vectors | {"b_enc": sae.vectors["b_enc"] * length},
    )
