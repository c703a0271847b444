"""SAEs of every architecture that can be exchanged, set so that none of their parameters is trivial."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from engine.sae import SparseAutoencoder, build_sae
from engine.sae.registry import config_from_dict

D, M, N = 12, 40, 64
ARCHITECTURES = ("relu", "topk", "jumprelu", "batchtopk", "matryoshka", "gated")


Make = Callable[..., SparseAutoencoder]


@pytest.fixture
def make() -> Make:
    """``make(architecture, normalise="standardise", seed=0, **settings)``: see ``_made``."""
    return _made


@pytest.fixture
def x() -> torch.Tensor:
    """Tokens, [64, 12]."""
    return _tokens(N, 1)


@torch.no_grad()
def _made(architecture: str, normalise: str = "standardise", seed: int = 0, **settings: object) -> SparseAutoencoder:
    """An SAE with random biases, gains and thresholds, and atoms that are active on some tokens only."""
    values = {"architecture": architecture, "d_model": D, "n_atoms": M, "normalise": normalise, "init": "random"}
    if architecture in ("topk", "batchtopk", "matryoshka"):
        values["k"] = 5
    generator = torch.Generator().manual_seed(seed)
    sae = build_sae(config_from_dict(values | settings, "test"), seed)
    sae.initialise(_tokens(256, 7), generator)
    for name, parameter in sae.named_parameters():
        if name in ("b_encoder", "b_pre", "b_mag", "r_mag"):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        elif name == "log_threshold":
            parameter.copy_(-1 + 0.3 * torch.randn(parameter.shape, generator=generator))
    if hasattr(sae, "threshold") and architecture != "jumprelu":
        sae.threshold.fill_(0.8)
    return sae.eval()


def _tokens(n: int, seed: int) -> torch.Tensor:
    """Tokens with a large mean and dimensions of different size."""
    generator = torch.Generator().manual_seed(seed)
    return 3 + torch.randn(n, D, generator=generator) * torch.linspace(0.5, 4, D)


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)
