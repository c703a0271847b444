"""The TopK SAE against its paper's equations."""

from __future__ import annotations

import pytest
import torch

from engine.sae import TopKConfig, TopKSAE
from engine.sae.initialisation import geometric_median

D, M, N, K = 16, 64, 40, 5


def make(**settings) -> TopKSAE:
    return TopKSAE(TopKConfig(d_model=D, n_atoms=M, **({"k": K} | settings)), torch.Generator().manual_seed(0))


def tokens(seed: int = 1) -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed)) + 2


def test_every_token_has_exactly_k() -> None:
    assert (make().encode(tokens()).l0 == K).all()


def test_forward_and_gradients_match_the_dense_float64_model() -> None:
    sae, x = make(), tokens()
    with torch.no_grad():
        sae.b_encoder.normal_(0, 0.1)
        sae.b_pre.normal_()
    parameters = {name: p.detach().double().requires_grad_() for name, p in sae.named_parameters()}
    z = (x.double() - parameters["b_pre"]) @ parameters["w_encoder"].T + parameters["b_encoder"]
    top = z.topk(K, dim=1)
    codes = torch.zeros_like(z).scatter(1, top.indices, top.values)
    x_hat = codes @ parameters["atoms"] + parameters["b_pre"]
    loss = (x_hat - x).square().sum() / (x - x.mean(0)).double().square().sum()
    output = sae(x)
    torch.testing.assert_close(output.codes.dense().double(), codes.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.x_hat.double(), x_hat.detach(), rtol=1e-4, atol=1e-5)
    loss.backward()
    output.losses["reconstruction"].backward()
    for name, parameter in sae.named_parameters():
        torch.testing.assert_close(parameter.grad.double(), parameters[name].grad, rtol=1e-3, atol=1e-5)


def test_decoder_rows_stay_unit_and_their_gradient_is_tangential() -> None:
    sae = make()
    optimiser = torch.optim.Adam(sae.parameters(), lr=1e-2)
    for _ in range(3):
        sae(tokens()).losses["reconstruction"].backward()
        sae.before_step()
        assert (sae.atoms.grad * sae.atoms).sum(1).abs().max() < 1e-6
        optimiser.step()
        sae.after_step()
        torch.testing.assert_close(sae.atoms.norm(dim=1), torch.ones(M))


def test_encoder_starts_as_the_decoder_and_bias_as_the_geometric_median() -> None:
    sae, sample = make(), tokens()
    sae.initialise(sample, torch.Generator())
    assert torch.equal(sae.w_encoder, sae.atoms)

    def distance(point: torch.Tensor) -> float:
        return (sample - point).norm(dim=1).sum().item()

    for nearby in sae.b_pre + 0.05 * torch.randn(30, D, generator=torch.Generator().manual_seed(0)):
        assert distance(sae.b_pre) <= distance(nearby.detach())


def test_a_start_from_data_reconstructs_at_once() -> None:
    sample = tokens() @ torch.randn(D, D, generator=torch.Generator().manual_seed(5))
    starts = []
    for init in ("random", "data", "spread"):
        sae = make(init=init)
        sae.initialise(sample, torch.Generator().manual_seed(0))
        torch.testing.assert_close(sae.atoms.norm(dim=1), torch.ones(M))
        starts.append(sae(sample).losses["reconstruction"].item())
    assert starts[1] < 0.5 * starts[0] and starts[2] < 0.5 * starts[0]


def test_geometric_median_ignores_an_outlier_that_moves_the_mean() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1000.0, 1000.0]])
    assert geometric_median(points).max() < 1.5


def test_auxiliary_loss_is_the_residual_explained_by_dead_atoms() -> None:
    sae = make(aux_k=4, dead_after=N + 5).train()
    x = tokens()
    dead = torch.arange(M) % 3 == 0
    sae.tokens_since_fired[dead] = 11
    output = sae(x)
    assert set(output.losses) == {"reconstruction", "auxiliary"}
    still_dead = dead.clone()
    still_dead[output.codes.col.long()] = False  # this batch is counted before the auxiliary loss looks
    residual = (x - output.x_hat).detach()
    z = ((x - sae.b_pre) @ sae.w_encoder.T + sae.b_encoder)[:, still_dead]
    top = z.topk(4, dim=1)
    modelled = torch.zeros_like(z).scatter(1, top.indices, top.values) @ sae.atoms[still_dead]
    wanted = (modelled - residual).square().sum() / (residual - residual.mean(0)).square().sum() / 32
    torch.testing.assert_close(output.losses["auxiliary"], wanted)


def test_auxiliary_loss_revives_dead_atoms() -> None:
    """Atoms that look away from the data come back with the auxiliary loss and stay dead without it."""

    def dead_after_training(aux_weight: float) -> int:
        sae = make(aux_weight=aux_weight, dead_after=200, aux_k=16)
        x = tokens() - 2
        with torch.no_grad():
            sae.b_encoder[: M // 2] = -6.0
        optimiser = torch.optim.Adam(sae.parameters(), lr=2e-2)
        for _ in range(300):
            torch.stack(list(sae(x).losses.values())).sum().backward()
            sae.before_step()
            optimiser.step()
            optimiser.zero_grad()
            sae.after_step()
        return int((sae.tokens_since_fired > 200).sum())

    assert dead_after_training(1 / 32) < dead_after_training(0.0)


@pytest.mark.parametrize("training", [True, False])
def test_no_auxiliary_loss_without_dead_atoms_or_outside_training(training: bool) -> None:
    sae = make(dead_after=10 + N).train(training)
    if not training:
        sae.tokens_since_fired += 100
    assert set(sae(tokens()).losses) == {"reconstruction"}
