"""SAEs and tokens small enough to check by finite differences and by dense oracles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.sae import SAEConfig, SparseAutoencoder, build_sae

D, M, N = 12, 32, 24
SIZE = {"d_model": D, "n_atoms": M}


def tokens(n: int = N, seed: int = 0) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed)) + 0.5


def made(config: SAEConfig) -> SparseAutoencoder:
    """An SAE whose vectors are no zeros, so that a term left out would show."""
    sae = build_sae(config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            if name == "log_threshold":
                parameter.fill_(math.log(0.3))
            elif parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return sae


def total(sae: SparseAutoencoder, x: Tensor) -> Tensor:
    return torch.stack(list(sae(x).losses.values())).sum()
