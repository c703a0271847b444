"""What every architecture promises, tested on every architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.errors import InputError
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
    SparsemaxSAE,
    TopKConfig,
    build_sae,
    load_sae,
    save_sae,
)

D, M, N = 24, 96, 50

CONFIGS: list[SAEConfig] = [
    SparsemaxConfig(d_model=D, n_atoms=M),
    SparsemaxConfig(d_model=D, n_atoms=M, values="probability", learn_scale=True),
    SparsemaxConfig(d_model=D, n_atoms=M, normalise="centre", scale=8.0, init="data", loss="nmse"),
    SparsemaxConfig(d_model=D, n_atoms=M, values="probability", normalise="standardise", init="spread", scale=8.0),
    SparsemaxConfig(d_model=D, n_atoms=M, gate="frequency", gate_above=0.2),
    TopKConfig(d_model=D, n_atoms=M, k=7),
    TopKConfig(d_model=D, n_atoms=M, k=7, normalise="centre", dead_after=10, loss="published", init="spread"),
    BatchTopKConfig(d_model=D, n_atoms=M, k=7),
    BatchTopKConfig(d_model=D, n_atoms=M, k=7, normalise="centre", dead_after=10, init="spread"),
    MatryoshkaConfig(d_model=D, n_atoms=M, k=7),
    MatryoshkaConfig(d_model=D, n_atoms=M, k=7, normalise="standardise", dead_after=10, init="data", prefixes=3),
    ReLUConfig(d_model=D, n_atoms=M),
    ReLUConfig(d_model=D, n_atoms=M, normalise="standardise", init="spread", target_l0=6.0),
    GatedConfig(d_model=D, n_atoms=M),
    GatedConfig(d_model=D, n_atoms=M, normalise="centre", init="data", target_l0=6.0),
    JumpReLUConfig(d_model=D, n_atoms=M, bandwidth=0.5),
    JumpReLUConfig(d_model=D, n_atoms=M, normalise="standardise", init="spread", bandwidth=0.2, target_l0=6.0),
    CrossReLUConfig(d_model=D, n_atoms=M),
    CrossReLUConfig(d_model=D, n_atoms=M, normalise="standardise", init="data", target_l0=6.0),
    MLPSparsemaxConfig(d_model=D, n_atoms=M),
    MLPSparsemaxConfig(d_model=D, n_atoms=M, normalise="standardise", init="spread", scale=4.0),
]


def tokens(n: int = N, seed: int = 0) -> torch.Tensor:
    """Tokens with a large common mean and one outlier dimension, as a CLIP residual stream has."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, D, generator=generator)
    x[:, 3] *= 20
    return x + 5


@pytest.fixture(params=CONFIGS, ids=lambda c: "-".join(str(v) for v in list(c.to_dict().values())[:6]))
def sae(request: pytest.FixtureRequest):
    sae = build_sae(request.param, seed=1)
    sae.initialise(tokens(300, seed=9), torch.Generator().manual_seed(2))
    return sae


def test_every_architecture_is_tested() -> None:
    assert {config.architecture for config in CONFIGS} == set(ARCHITECTURES)


def test_forward_is_encode_then_decode(sae) -> None:
    x = tokens()
    sae.eval()
    codes = sae.encode(x)
    output = sae(x)
    torch.testing.assert_close(output.codes.dense(), codes.dense())
    torch.testing.assert_close(output.x_hat, sae.decode(codes, sae.norm(x)))
    assert output.x_hat.shape == (N, D) and codes.n_atoms == M and len(codes) == N


def test_codes_are_csr_with_ascending_columns(sae) -> None:
    codes = sae.eval().encode(tokens())
    assert codes.crow.dtype == torch.int64 and codes.col.dtype == torch.int32 and codes.val.dtype == torch.float32
    same_row = codes.row[1:] == codes.row[:-1]
    assert (codes.col[1:] > codes.col[:-1])[same_row].all()


def test_scores_select_the_support(sae) -> None:
    """Every active atom scores at least as much as every inactive one."""
    x = tokens()
    sae.eval()
    scores = sae.scores(x)
    active = torch.zeros(N, M, dtype=torch.bool)
    codes = sae.encode(x)
    active[codes.row, codes.col.long()] = True
    worst_active = scores.masked_fill(~active, torch.inf).amin(1)
    best_inactive = scores.masked_fill(active, -torch.inf).amax(1)
    assert (worst_active >= best_inactive - 1e-5).all()


def test_threshold_parts_active_from_inactive(sae) -> None:
    x = tokens()
    codes, tau = sae.eval().encode_with_threshold(x)
    if tau is None:
        assert not isinstance(sae, SparsemaxSAE)
        return
    scores = sae.scores(x)
    margin = 1e-4 * scores[torch.isfinite(scores)].abs().max()
    active = torch.zeros(N, M, dtype=torch.bool)
    active[codes.row, codes.col.long()] = True
    assert (scores > tau[:, None] - margin)[active].all()
    assert (scores < tau[:, None] + margin)[~active].all()


def test_directions_are_what_one_more_unit_of_code_adds(sae) -> None:
    x = tokens()
    sae.eval()
    codes = sae.encode(x)
    norm = sae.norm(x)
    before = sae.decode(codes, norm)
    raised = type(codes)(codes.crow, codes.col, codes.val.detach().clone(), M)
    first = codes.nnz // 2
    row = int(codes.row[first])
    raised.val[first] += 1.0
    added = (sae.decode(raised, norm) - before)[row]
    length = 1.0 if norm is None else norm[row]
    torch.testing.assert_close(added / length, sae.directions()[int(codes.col[first])], rtol=1e-3, atol=1e-3)


def test_every_parameter_gets_a_gradient(sae) -> None:
    sae.train()
    sae.tokens_since_fired += 11
    output = sae(tokens())
    torch.stack(list(output.losses.values())).sum().backward()
    for name, parameter in sae.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert name == "b_encoder" or parameter.grad.abs().sum() > 0, name


def test_training_lowers_the_loss(sae) -> None:
    x = tokens(400)
    optimiser = torch.optim.Adam(sae.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = torch.stack(list(sae(x).losses.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        sae.before_step()
        optimiser.step()
        sae.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_same_seed_same_parameters() -> None:
    for config in CONFIGS:
        one, two, other = (build_sae(config, seed) for seed in (3, 3, 4))
        assert torch.equal(one.atoms, two.atoms) and not torch.equal(one.atoms, other.atoms)


def test_wrong_width_is_one_sentence(sae) -> None:
    with pytest.raises(InputError, match=f"width {D}.*\\({N}, {D + 1}\\)"):
        sae.encode(torch.zeros(N, D + 1))


def test_training_counts_tokens_since_each_atom_fired(sae) -> None:
    sae.train()
    output = sae(tokens())
    fired = torch.zeros(M, dtype=torch.bool)
    fired[output.codes.col.long()] = True
    assert (sae.tokens_since_fired[fired] == 0).all() and (sae.tokens_since_fired[~fired] == N).all()
    before = sae.tokens_since_fired.clone()
    sae.eval()(tokens())
    assert torch.equal(sae.tokens_since_fired, before)


def test_save_and_load_give_the_same_sae(sae, tmp_path: Path) -> None:
    sae.train()(tokens())  # a gate has something to save
    loaded = load_sae(save_sae(sae, tmp_path / "sae"))
    assert loaded.config == sae.config and not loaded.training
    assert {path.name for path in (tmp_path / "sae").iterdir()} == {"config.json", "weights.safetensors"}
    x = tokens()
    assert torch.equal(loaded(x).x_hat, sae.eval()(x).x_hat)
