"""The sparsemax SAE against dense float64 formulas, in both value modes."""

from __future__ import annotations

import math

import pytest
import torch

from engine.errors import InputError
from engine.sae import SparsemaxConfig, SparsemaxSAE, load_sae, save_sae

D, M, N = 16, 64, 40


def sparsemax64(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Dense sparsemax of each row by sorting (Martins and Astudillo, 2016, algorithm 1), and tau."""
    ordered = z.sort(dim=1, descending=True).values
    rank = torch.arange(1, z.shape[1] + 1, dtype=z.dtype)
    size = (1 + rank * ordered > ordered.cumsum(1)).sum(1)
    tau = (ordered.cumsum(1).gather(1, size[:, None] - 1) - 1) / size[:, None]
    return (z - tau).clamp_min(0), tau[:, 0]


def dense_forward(sae: SparsemaxSAE, x: torch.Tensor, values: str, scale: float) -> tuple[torch.Tensor, ...]:
    """Reconstruction, codes and tau by the table of the specification, with C W_key and C W_value formed."""
    atoms, w_key, w_value = (p.detach().double().requires_grad_() for p in (sae.atoms, sae.w_key, sae.w_value))
    x = x.double()
    norm = x.norm(dim=1, keepdim=True)
    if values == "score":
        z = scale * (x / norm) @ (atoms @ w_key).T
        probability, tau = sparsemax64(z)
        codes = z * (probability > 0)
        x_hat = norm * (codes @ (atoms @ w_value))
    else:
        z = scale * (x @ w_key) @ atoms.T
        codes, tau = sparsemax64(z)
        x_hat = (codes @ atoms) @ w_value
    return x_hat, codes, tau, atoms, w_key, w_value


def make(values: str, **settings) -> SparsemaxSAE:
    generator = torch.Generator().manual_seed(0)
    return SparsemaxSAE(SparsemaxConfig(d_model=D, n_atoms=M, values=values, **settings), generator)


def tokens(seed: int = 1) -> torch.Tensor:
    return 3 * torch.randn(N, D, generator=torch.Generator().manual_seed(seed)) + 1


CASES = [
    ("score", {}, 1.0),
    ("score", {"scale": 6.0}, 6.0),
    ("probability", {}, 1 / math.sqrt(D)),
    ("probability", {"scale": 2.0}, 2.0),
    ("score", {"scale": 3.0, "learn_scale": True}, 3.0),
]


@pytest.mark.parametrize(("values", "settings", "scale"), CASES)
def test_forward_and_gradients_match_the_dense_float64_model(values: str, settings: dict, scale: float) -> None:
    sae, x = make(values, **settings), tokens()
    assert sae.scale == pytest.approx(scale)
    x_hat, codes, tau, *parameters = dense_forward(sae, x, values, scale)
    output = sae(x)
    got_codes, got_tau = sae.encode_with_threshold(x)
    torch.testing.assert_close(output.codes.dense().double(), codes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.x_hat.double(), x_hat, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got_tau.double(), tau, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got_codes.val, output.codes.val)

    loss = (10 * (x_hat - x.double()).square() / x.double().norm(dim=1, keepdim=True)).mean()
    torch.testing.assert_close(output.losses["reconstruction"].double(), loss, rtol=1e-4, atol=1e-5)
    output.losses["reconstruction"].backward()
    loss.backward()
    for got, want in zip((sae.atoms, sae.w_key, sae.w_value), parameters, strict=True):
        # float32 sums of about N d terms against float64, relative to the largest gradient
        tolerance = 1e-4 * want.grad.abs().max().item()
        torch.testing.assert_close(got.grad.double(), want.grad, rtol=1e-3, atol=tolerance)


def test_learned_scale_has_the_gradient_of_the_loss() -> None:
    """Central difference of the dense loss over log scale; a step that small leaves the supports alone."""
    sae, x = make("probability", learn_scale=True, scale=0.5), tokens()
    sae(x).losses["reconstruction"].backward()

    def loss_at(log_scale: float) -> float:
        x_hat = dense_forward(sae, x, "probability", math.exp(log_scale))[0]
        return (10 * (x_hat - x.double()).square() / x.double().norm(dim=1, keepdim=True)).mean().item()

    step = 1e-6
    slope = (loss_at(math.log(0.5) + step) - loss_at(math.log(0.5) - step)) / (2 * step)
    assert sae.log_scale.grad.item() == pytest.approx(slope, rel=1e-3)


def test_the_larger_the_scale_the_fewer_atoms() -> None:
    sizes = [make("score", scale=scale).encode(tokens()).l0.float().mean().item() for scale in (0.3, 1.0, 4.0, 16.0)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0]


def test_parameters_are_the_three_of_the_specification() -> None:
    assert {name: tuple(p.shape) for name, p in make("score").named_parameters()} == {
        "atoms": (M, D),
        "w_key": (D, D),
        "w_value": (D, D),
    }
    assert set(make("score").state_dict()) == {"atoms", "w_key", "w_value"}


def test_score_mode_ignores_the_length_of_a_token_and_gives_it_back() -> None:
    sae, x = make("score").eval(), tokens()
    codes, longer = sae.encode(x), sae.encode(7 * x)
    torch.testing.assert_close(codes.dense(), longer.dense(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae(7 * x).x_hat, 7 * sae(x).x_hat, rtol=1e-4, atol=1e-3)


def test_probabilities_sum_to_one() -> None:
    codes = make("probability").encode(tokens())
    torch.testing.assert_close(codes.dense().sum(1), torch.ones(N), rtol=0, atol=1e-5)
    assert (codes.val > 0).all()


def test_decode_of_scores_asks_for_the_lengths() -> None:
    sae = make("score")
    with pytest.raises(InputError, match=r"sae\.norm"):
        sae.decode(sae.encode(tokens()))


def test_a_zero_token_stays_finite() -> None:
    sae = make("score")
    x = tokens()
    x[0] = 0
    output = sae(x)
    assert torch.isfinite(output.x_hat).all() and (output.x_hat[0] == 0).all()
    output.losses["reconstruction"].backward()
    assert torch.isfinite(sae.atoms.grad).all()


def test_a_start_from_data_reconstructs_at_once_and_keeps_atoms_alive() -> None:
    sample = tokens() @ torch.randn(D, D, generator=torch.Generator().manual_seed(5))
    for values in ("score", "probability"):
        sae = make(values, init="data", scale=8.0, loss="nmse", normalise="centre")
        sae.initialise(sample, torch.Generator().manual_seed(0))
        assert sae(sample).losses["reconstruction"] < 0.7
        sizes = sae.encode(sample).l0.float()
        assert 1 < sizes.mean() < M / 2


def test_centring_removes_the_mean_of_the_sample() -> None:
    sae = make("score", normalise="centre", init="data", scale=8.0)
    sample = tokens()
    sae.initialise(sample, torch.Generator().manual_seed(0))
    torch.testing.assert_close(sae.input_mean, sample.mean(0))
    u = (sample - sae.input_mean) / sae.input_scale
    assert u.square().sum(1).mean().item() == pytest.approx(D, rel=1e-4)
    assert sae.input_scale.unique().numel() == 1
    shifted = sae.encode(sample).dense()
    sae.input_mean += 1.0
    torch.testing.assert_close(sae.encode(sample + 1.0).dense(), shifted, rtol=1e-3, atol=1e-4)


# -- the frequency gate ----------------------------------------------------------------------------------------------------


def dominated(gate: str) -> SparsemaxSAE:
    """An SAE whose atom 0 wins on every token until a gate stops it."""
    sae = make("score", gate=gate, gate_above=0.5)
    with torch.no_grad():
        sae.w_key.copy_(torch.eye(D))
        sae.atoms[0] = 0.9 * tokens().mean(0)
    return sae


def test_gate_shuts_a_dense_atom_in_every_path(tmp_path) -> None:
    sae, x = dominated("frequency"), tokens() + 3
    assert 0 in sae.train()(x).codes.col
    assert bool(sae.gate.shut[0])
    sae.eval()
    assert (sae.scores(x)[:, 0] == -torch.inf).all()
    loaded = load_sae(save_sae(sae, tmp_path))
    for path in (sae(x).codes, sae.encode(x), sae.encode_with_threshold(x)[0], loaded.encode(x), loaded(x).codes):
        assert 0 not in path.col


def test_gate_counts_in_training_only_and_is_a_mean_over_batches(tmp_path) -> None:
    sae = dominated("frequency")
    wanted = []
    for seed in range(3):
        codes = sae.train()(tokens(seed) + 3).codes.dense()
        wanted.append((codes > 0).float().mean(0))
        before = sae.gate.frequency.clone()
        sae.eval()(tokens(9))
        sae.encode(tokens(9))
        assert torch.equal(sae.gate.frequency, before)
    torch.testing.assert_close(sae.gate.frequency, torch.stack(wanted).mean(0))
    torch.testing.assert_close(load_sae(save_sae(sae, tmp_path)).gate.frequency, sae.gate.frequency)


def test_gated_atoms_cannot_join_when_tau_is_negative() -> None:
    """All scores below zero: a score of zero, as the published gate sets it, would win every token."""
    sae = make("score", gate="frequency", gate_above=0.5)
    with torch.no_grad():
        sae.w_key.copy_(torch.eye(D))
        sae.atoms.copy_(-tokens().abs().mean(0).expand(M, D))
        sae.gate.frequency[5] = 1.0
    x = tokens().abs()
    assert 5 not in sae.encode(x).col
    published = make("score", gate="published", gate_above=0.5)
    published.load_state_dict({name: sae.state_dict()[name] for name in ("atoms", "w_key", "w_value")})
    published.gate.frequency[5] = 1.0
    assert (published.encode(x).col == 5).sum() == N


def test_published_gate_is_the_published_one() -> None:
    """z := 0 above the frequency, the running mean counted in evaluation too, nothing saved."""
    sae = dominated("published")
    frequency = torch.zeros(M)
    for seed in range(4):
        x = tokens(seed) + 3
        sae.train(seed % 2 == 0)
        z = (x / x.norm(dim=1, keepdim=True)) @ (sae.atoms @ sae.w_key).T
        z = (z * ~(frequency > 0.5)).double()
        codes = z * (sparsemax64(z)[0] > 0)
        torch.testing.assert_close(sae(x).codes.dense().double(), codes.detach(), rtol=1e-4, atol=1e-5)
        frequency = (frequency * seed + (codes > 0).float().mean(0)) / (seed + 1)
        torch.testing.assert_close(sae.gate.frequency, frequency)
    assert not any("gate" in name for name in sae.state_dict())


# -- the published code -----------------------------------------------------------------------------------------------------


class Published:
    """The published code's model and training step, written from the equations of the paper's repository alone.

    Dense throughout, its support a full sort, its gradient that of multiplying scores with a constant mask, its Adam
    written out (Kingma and Ba, arXiv 1412.6980, algorithm 1).
    """

    def __init__(self, sae: SparsemaxSAE, gate_above: float) -> None:
        self.parameters = [p.detach().double().requires_grad_() for p in (sae.atoms, sae.w_key, sae.w_value)]
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.frequency, self.batches, self.gate_above = torch.zeros(M, dtype=torch.float64), 0, gate_above

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Reconstruction, codes and loss of x [N, d] float64; counts the batch."""
        atoms, w_key, w_value = self.parameters
        norm = x.norm(dim=1, keepdim=True)
        z = (x / norm) @ w_key.T @ atoms.T
        z = z * (self.frequency <= self.gate_above)
        codes = z * (sparsemax64(z)[0] > 0).detach()
        x_hat = norm * (codes @ atoms @ w_value)
        self.frequency = (self.frequency * self.batches + (codes > 0).double().mean(0)) / (self.batches + 1)
        self.batches += 1
        return x_hat, codes, (10 * (x_hat - x).square() / norm).mean()

    def step(self, loss: torch.Tensor, lr: float, number: int) -> None:
        for p, (first, second), grad in zip(
            self.parameters, self.moments, torch.autograd.grad(loss, self.parameters), strict=True
        ):
            first.mul_(0.9).add_(0.1 * grad)
            second.mul_(0.999).add_(0.001 * grad.square())
            with torch.no_grad():
                p -= lr * (first / (1 - 0.9**number)) / ((second / (1 - 0.999**number)).sqrt() + 1e-8)


def test_the_published_training_step_is_reproduced() -> None:
    """Forward, loss and Adam's steps of ``values="score", gate="published"`` to 1e-5, with atoms shut on the way."""
    torch.manual_seed(0)
    sae = make("score", gate="published", gate_above=0.5).train()
    oracle = Published(sae, gate_above=0.5)
    optimiser = torch.optim.Adam(sae.parameters(), lr=4e-4)
    shut = 0
    for number in (1, 2, 3):
        x = tokens(number)
        shut += int((oracle.frequency > 0.5).sum())
        x_hat, codes, loss = oracle.forward(x.double())
        output = sae(x)
        torch.testing.assert_close(output.codes.dense().double(), codes.detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(output.x_hat.double(), x_hat.detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(output.losses["reconstruction"].double(), loss.detach(), rtol=1e-5, atol=1e-5)
        optimiser.zero_grad()
        output.losses["reconstruction"].backward()
        optimiser.step()
        oracle.step(loss, 4e-4, number)
        for got, want in zip((sae.atoms, sae.w_key, sae.w_value), oracle.parameters, strict=True):
            torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)
    assert shut > 0, "no atom was shut: the gate was not part of the test"
