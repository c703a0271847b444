"""What each architecture says of itself in its docstring, against its equations written out over dense matrices."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.errors import InputError
from engine.sae import (
    BatchTopKConfig,
    GatedConfig,
    JumpReLUConfig,
    MatryoshkaConfig,
    MLPSparsemaxConfig,
    ReLUConfig,
    SparseAutoencoder,
)
from engine.sae.base import reconstruction_loss
from engine.training import TrainConfig
from engine.training.train_spec import TrainSpec
from engine.training.trainee import Trainee
from tests.engine.sae.small import SIZE, M, N, made, tokens, total

# -- published surrogate gradients -------------------------------------------------------------------------------------------


def dense(sae: SparseAutoencoder) -> dict[str, Tensor]:
    return {name: parameter.detach().clone().requires_grad_() for name, parameter in sae.named_parameters()}


def nmse(x: Tensor, x_hat: Tensor) -> Tensor:
    return (x - x_hat).square().sum() / (x - x.mean(0)).square().sum()


def test_gated_is_its_equations() -> None:
    """Forward, loss and all gradients, dense: the auxiliary term sees the decoder as a constant."""
    sae, x = made(GatedConfig(**SIZE, coefficient=0.3, penalty_warmup=0)).double().train(), tokens().double()
    p = dense(sae)
    z = (x - p["b_pre"]) @ p["w_encoder"].T
    gate, magnitude = z + p["b_encoder"], z * p["r_mag"].exp() + p["b_mag"]
    codes = (gate > 0) * magnitude.relu()
    x_hat = codes @ p["atoms"] + p["b_pre"]
    frozen = gate.relu() @ p["atoms"].detach() + p["b_pre"].detach()
    loss = nmse(x, x_hat) + 0.3 * gate.relu().sum(1).mean() + nmse(x, frozen)
    loss.backward()
    output = sae(x)
    torch.testing.assert_close(output.codes.dense(), codes.detach())
    torch.testing.assert_close(torch.stack(list(output.losses.values())).sum(), loss)
    total(sae, x).backward()
    for name, parameter in sae.named_parameters():
        torch.testing.assert_close(parameter.grad, p[name].grad, msg=name)


def test_jumprelu_has_the_published_pseudo_gradient() -> None:
    """d a / d theta = -theta / eps K and d L0 / d theta = -1 / eps K, written out over the dense matrix."""
    width, weight = 0.4, 0.3
    config = JumpReLUConfig(**SIZE, coefficient=weight, bandwidth=width, penalty_warmup=0)
    sae, x = made(config).double().train(), tokens().double()
    p = dense(sae)
    theta = p["log_threshold"].exp().detach()
    z = (x - p["b_pre"]) @ p["w_encoder"].T + p["b_encoder"]
    codes = z * (z > theta)
    codes.retain_grad()
    nmse(x, codes @ p["atoms"] + p["b_pre"]).backward()
    kernel = ((z - theta).abs() < width / 2).double().detach() / width
    by_theta = (-codes.grad * theta * kernel).sum(0) - weight * kernel.sum(0) / N
    output = sae(x)
    assert output.losses["sparsity"].item() == pytest.approx(weight * (codes != 0).double().sum(1).mean().item())
    assert output.codes.nnz == int((codes != 0).sum()) and ((kernel > 0) & (codes == 0)).any()
    total(sae, x).backward()
    torch.testing.assert_close(sae.log_threshold.grad, by_theta * theta)
    for name in ("w_encoder", "b_encoder", "b_pre", "atoms"):
        torch.testing.assert_close(dict(sae.named_parameters())[name].grad, p[name].grad, msg=name)


# -- pieces of one architecture ---------------------------------------------------------------------------------------------


def test_batchtopk_encodes_by_the_mean_of_its_smallest_winners() -> None:
    sae = made(BatchTopKConfig(**SIZE, k=3)).train()
    wanted = None
    for seed in range(4):
        scores = sae.scores(tokens(seed=seed))
        winners = scores.flatten().topk(3 * N).values
        output = sae(tokens(seed=seed))
        assert output.codes.nnz == 3 * N and torch.allclose(output.codes.val.sort().values, winners.sort().values)
        wanted = winners.min() if wanted is None else wanted + 0.1 * (winners.min() - wanted)
    torch.testing.assert_close(sae.threshold, wanted.detach())
    codes = sae.encode(tokens(seed=9))
    scores = sae.scores(tokens(seed=9))
    assert torch.equal(codes.dense() != 0, scores > sae.threshold)


def test_matryoshka_adds_up_the_losses_of_its_prefixes() -> None:
    config = MatryoshkaConfig(**SIZE, k=4, prefixes=3)
    assert config.sizes == [4, 12, 32] and MatryoshkaConfig(d_model=4, n_atoms=64).sizes == [2, 6, 14, 30, 64]
    sae, x = made(config).double().train(), tokens().double()
    output = sae(x)
    codes = output.codes.dense()
    parts = [codes[:, :size] @ sae.atoms[:size] + sae.b_pre for size in config.sizes]
    torch.testing.assert_close(output.x_hat, parts[-1])
    torch.testing.assert_close(output.losses["reconstruction"], nmse(x, parts[-1]))
    torch.testing.assert_close(output.losses["nested"], nmse(x, parts[0]) + nmse(x, parts[1]))
    published = made(replace(config, loss="published")).double().train()(x).losses["nested"]
    torch.testing.assert_close(published, sum(reconstruction_loss(x, part, "published") for part in parts[:2]))
    assert made(replace(config, prefixes=1))(x.float()).losses["nested"] == 0


def test_relu_weighs_activations_with_the_length_of_their_directions() -> None:
    """Longer directions with smaller codes change nothing, so there is nothing to gain by them."""
    sae, x = made(ReLUConfig(**SIZE, coefficient=0.5, penalty_warmup=0)), tokens()
    before = sae(x)
    codes = before.codes.dense()
    assert before.losses["sparsity"].item() == pytest.approx(0.5 * (codes @ sae.atoms.norm(dim=1)).mean().item())
    with torch.no_grad():
        sae.atoms.mul_(4)
        sae.w_encoder.div_(4)
        sae.b_encoder.div_(4)
    after = sae(x)
    torch.testing.assert_close(after.x_hat, before.x_hat)
    torch.testing.assert_close(after.losses["sparsity"], before.losses["sparsity"])


def test_relu_resamples_its_dead_atoms_and_adam_forgets_them() -> None:
    config = ReLUConfig(**SIZE, resample_every=2, dead_after=1000)
    trainee = Trainee.make("relu", TrainSpec(config=config), TrainConfig(), torch.device("cpu"))
    sae, x = trainee.sae, tokens(200)
    with torch.no_grad():
        sae.b_encoder[:5] = -100.0
        sae.tokens_since_fired[:5] = 2000
    trainee.step(x, 1e-3, 1.0)
    assert (sae.b_encoder[:5] < -90).all()  # the first step is none of those that resample
    trainee.step(x, 1e-3, 1.0)
    assert (sae.b_encoder[:5] == 0).all() and (sae.tokens_since_fired[:5] == 0).all()
    centred = x - sae.b_pre.detach()
    cosine = (sae.atoms[:5] @ centred.T) / (sae.atoms[:5].norm(dim=1, keepdim=True) * centred.norm(dim=1))
    torch.testing.assert_close(cosine.amax(1), torch.ones(5))
    torch.testing.assert_close(sae.atoms[:5].norm(dim=1), sae.atoms[5:].norm(dim=1).mean().expand(5))
    torch.testing.assert_close(sae.w_encoder[:5].norm(dim=1), 0.2 * sae.w_encoder[5:].norm(dim=1).mean().expand(5))
    state = trainee.optimiser.state[sae.atoms]["exp_avg_sq"]
    assert (state[:5] == 0).all() and (state[5:] > 0).any()
    assert sae(x).codes.dense()[:, :5].any()


def test_jumprelu_thresholds_learn_at_their_own_rate() -> None:
    """Adam's first step moves every number that has a gradient by its learning rate."""
    config = JumpReLUConfig(**SIZE, bandwidth=0.5, penalty_warmup=0)
    trainee = Trainee.make("jumprelu", TrainSpec(config=config), TrainConfig(), torch.device("cpu"))
    with torch.no_grad():
        trainee.sae.log_threshold.fill_(math.log(0.3))
    before = {name: parameter.detach().clone() for name, parameter in trainee.sae.named_parameters()}
    trainee.step(tokens(200), 1e-4, 0.0)
    moved = {name: (p - before[name]).abs().max().item() for name, p in trainee.sae.named_parameters()}
    assert moved["log_threshold"] == pytest.approx(50e-4, rel=0.01)
    assert moved["w_encoder"] == pytest.approx(1e-4, rel=0.01)


def test_a_penalty_warms_up_and_then_keeps_its_coefficient() -> None:
    sae = made(ReLUConfig(**SIZE, coefficient=0.5, penalty_warmup=4)).train()
    full = sae.eval()(tokens()).losses["sparsity"].item()
    sae.train()
    ramp = [sae(tokens()).losses["sparsity"].item() / full for _ in range(6)]
    assert ramp == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ReLUConfig(**SIZE, coefficient=-1.0), "coefficient must not be negative"),
        (lambda: GatedConfig(**SIZE, target_l0=M + 1.0), "target_l0 must lie in"),
        (lambda: ReLUConfig(**SIZE, coefficient=0.0, target_l0=3.0), "needs a positive coefficient"),
        (lambda: ReLUConfig(**SIZE, penalty_warmup=-1), "penalty_warmup must not"),
        (lambda: ReLUConfig(**SIZE, resample_every=-1), "resample_every must not"),
        (lambda: JumpReLUConfig(**SIZE, bandwidth=0.0), "bandwidth must be positive"),
        (lambda: MatryoshkaConfig(**SIZE, k=2, prefixes=6), "prefixes must be"),
        (lambda: MLPSparsemaxConfig(**SIZE, scale=-1.0), "scale must be positive"),
    ],
)
def test_wrong_settings_are_one_sentence(make, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()
