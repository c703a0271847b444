"""A split SAE on one process is the plain one; two processes are compared in ``test_trainees``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from engine.sae import build_sae, parse_config
from engine.training.parallel.placement import full_tensor
from engine.training.parallel.split_sae import split_over

TEXTS = [
    "topk:k=3,dead_after=10,aux_k=4",
    "topk:k=5,relu=true",
    "sparsemax:scale=2",
    "sparsemax:values=probability,learn_scale=true,loss=nmse",
]


@pytest.fixture(scope="module")
def mesh() -> Iterator[DeviceMesh]:
    """A mesh of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize("text", TEXTS)
def test_a_split_sae_gives_what_the_plain_one_gives(text: str, mesh: DeviceMesh) -> None:
    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(3))
    plain = build_sae(parse_config(text, 8, 20, normalise="centre"), seed=1)
    plain.initialise(x, torch.Generator().manual_seed(2))
    plain.tokens_since_fired[::2] = 11
    split = split_over(plain, mesh)
    assert isinstance(split.atoms, DTensor) and split.atoms.shape == plain.atoms.shape
    for sae in (plain, split):
        sae.train()
        output = sae(x)
        torch.stack(list(output.losses.values())).sum().backward()
    one, two = plain(x), split(x)
    assert one.codes.col.equal(two.codes.col) and set(one.losses) == set(two.losses)
    torch.testing.assert_close(two.x_hat, one.x_hat)
    torch.testing.assert_close(two.codes.val, one.codes.val)
    for name, loss in one.losses.items():
        torch.testing.assert_close(two.losses[name], loss)
    for (name, parameter), placed in zip(plain.named_parameters(), split.parameters(), strict=True):
        assert parameter.grad is not None and placed.grad is not None, name
        torch.testing.assert_close(full_tensor(placed.grad), parameter.grad, rtol=1e-4, atol=1e-6)
    assert full_tensor(split.tokens_since_fired).equal(plain.tokens_since_fired)


def test_gathered_it_is_the_plain_sae_again(mesh: DeviceMesh) -> None:
    plain = build_sae(parse_config("sparsemax", 8, 20), seed=1)
    again = split_over(plain, mesh).whole()
    assert type(again) is type(plain) and not again.training
    for name, tensor in plain.state_dict().items():
        assert again.state_dict()[name].equal(tensor), name
