"""What training promises, on every architecture: exact gradients, no surprises at the edges, and that it learns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from engine.sae import (
    ARCHITECTURES,
    BatchTopKConfig,
    CrossReLUConfig,
    GatedConfig,
    JumpReLUConfig,
    MatryoshkaConfig,
    MLPSparsemaxConfig,
    ReLUConfig,
    SAEConfig,
    SparsemaxConfig,
    TopKConfig,
    build_sae,
    load_sae,
    save_sae,
)
from tests.engine.sae.small import SIZE, D, M, made, tokens, total

CONFIGS: list[SAEConfig] = [
    SparsemaxConfig(**SIZE, scale=3.0, loss="nmse"),
    TopKConfig(**SIZE, k=4),
    BatchTopKConfig(**SIZE, k=4),
    MatryoshkaConfig(**SIZE, k=4, prefixes=3),
    ReLUConfig(**SIZE, penalty_warmup=0),
    GatedConfig(**SIZE, penalty_warmup=0),
    JumpReLUConfig(**SIZE, penalty_warmup=0),
    CrossReLUConfig(**SIZE, penalty_warmup=0),
    MLPSparsemaxConfig(**SIZE, scale=3.0, loss="published"),
]

config = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.architecture)


def test_every_architecture_is_here() -> None:
    assert {config.architecture for config in CONFIGS} == set(ARCHITECTURES)


@config
def test_gradients_are_finite_differences_in_float64(config: SAEConfig) -> None:
    """Along random directions in every parameter. A step this small leaves all supports alone."""
    sae = made(config).double().train()
    x = tokens().double()
    detached = {"gated": ("atoms", "b_pre"), "jumprelu": ("log_threshold",)}.get(config.architecture, ())
    total(sae, x).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in sae.named_parameters()}
    for name, parameter in sae.named_parameters():
        if name in detached:  # published surrogates, each with an oracle of its own below
            continue
        direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        values = []
        for step in (1e-6, -1e-6):
            moved = copy.deepcopy(sae)
            with torch.no_grad():
                dict(moved.named_parameters())[name].add_(step * direction)
                values.append(total(moved, x).item())
        slope = (values[0] - values[1]) / 2e-6
        assert (gradients[name] * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-8), name


@config
@pytest.mark.parametrize("training", [True, False])
def test_no_tokens_and_zero_tokens(config: SAEConfig, training: bool) -> None:
    sae = made(config).train(training)
    codes = sae.encode(torch.zeros(0, D))
    assert len(codes) == 0 and codes.nnz == 0
    assert sae.decode(codes, sae.norm(torch.zeros(0, D))).shape == (0, D)
    x = tokens()
    x[3] = 0
    output = sae(x)
    assert torch.isfinite(output.x_hat).all()
    total(sae, x).backward()
    for name, parameter in sae.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


@config
def test_a_token_is_encoded_by_itself_alone(config: SAEConfig) -> None:
    sae = made(config).eval()
    sae.train()(tokens())
    together = sae.eval().encode(tokens())
    for i in (0, 7):
        alone = sae.encode(tokens()[i : i + 1])
        assert torch.equal(alone.col, together.col[together.crow[i] : together.crow[i + 1]])
        torch.testing.assert_close(alone.val, together.val[together.crow[i] : together.crow[i + 1]])


@config
def test_decoding_is_linear_in_the_codes(config: SAEConfig) -> None:
    sae, x = made(config).eval(), tokens()
    codes, norm = sae.encode(x), sae.norm(x)
    nothing = sae.decode(type(codes)(codes.crow, codes.col, 0 * codes.val, M), norm)
    twice = sae.decode(type(codes)(codes.crow, codes.col, 2 * codes.val, M), norm)
    torch.testing.assert_close(twice - nothing, 2 * (sae.decode(codes, norm) - nothing), rtol=1e-4, atol=1e-5)


# -- learning -------------------------------------------------------------------------------------------------------------


def superposition(n: int = 2048, seed: int = 0) -> Tensor:
    """24 hidden directions in 12 dimensions, three of them active in a token on average, around a common mean."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(24, D, generator=torch.Generator().manual_seed(99))
    directions /= directions.norm(dim=1, keepdim=True)
    active = torch.rand(n, 24, generator=generator) < 3 / 24
    return (active * (0.5 + torch.rand(n, 24, generator=generator))) @ directions + 1


STEERED = {"target_l0": 4.0, "penalty_warmup": 20, "coefficient": 0.3, "init": "spread"}

LEARNERS: list[tuple[SAEConfig, float | None]] = [
    (SparsemaxConfig(**SIZE, scale=2.0, init="data", normalise="centre"), None),
    (MLPSparsemaxConfig(**SIZE, scale=2.0, init="data", normalise="centre"), None),
    (TopKConfig(**SIZE, k=3, init="spread"), 3.0),
    (BatchTopKConfig(**SIZE, k=3, init="spread"), 3.0),
    (MatryoshkaConfig(**SIZE, k=3, prefixes=2, init="spread"), 3.0),
    (ReLUConfig(**SIZE, **STEERED), 4.0),
    (GatedConfig(**SIZE, **STEERED), 4.0),
    (JumpReLUConfig(**SIZE, **(STEERED | {"coefficient": 0.002}), bandwidth=0.05), 4.0),
    (CrossReLUConfig(**SIZE, **STEERED, normalise="centre"), 4.0),
]


@pytest.mark.parametrize(("config", "l0"), LEARNERS, ids=lambda value: getattr(value, "architecture", ""))
def test_a_superposition_is_learnt_at_the_wanted_l0(config: SAEConfig, l0: float | None, tmp_path) -> None:
    sae = build_sae(config, seed=0).train()
    x = superposition()
    sae.initialise(x, torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(sae.parameters(), lr=5e-3)
    fvu = []
    for step in range(400):
        for group in optimiser.param_groups:
            group["lr"] = 5e-3 * min(1.0, (400 - step) / 100)
        batch = x[torch.randint(len(x), (128,), generator=torch.Generator().manual_seed(step))]
        output = sae(batch)
        torch.stack(list(output.losses.values())).sum().backward()
        sae.before_step()
        optimiser.step()
        optimiser.zero_grad()
        sae.after_step()
        fvu.append(((output.x_hat - batch).square().sum() / (batch - batch.mean(0)).square().sum()).item())
    end = sum(fvu[-20:]) / 20
    assert end < 0.35 and end < 0.9 * fvu[0]
    held_out = superposition(512, seed=1)
    codes = load_sae(save_sae(sae, tmp_path)).encode(held_out)  # codes come from what is stored alone
    assert torch.equal(codes.val, sae.eval().encode(held_out).val)
    if l0 is not None:
        assert codes.l0.float().mean().item() == pytest.approx(l0, rel=0.15)
