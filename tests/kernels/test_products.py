"""Dense products: the quick routine gives what torch gives, forwards and backwards, with or without oneDNN."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kernels.products
from kernels import linear, use_fast_linear


@pytest.fixture(params=[True, False], ids=["onednn", "torch"], autouse=True)
def _routine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch carries no oneDNN")
    monkeypatch.setattr(kernels.products, "prefers_onednn", lambda: request.param)


@pytest.mark.parametrize("shape", [(7, 24), (2, 5, 24), (24,), (0, 24)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_forward_and_backward(shape: tuple[int, ...], with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(*s, generator=generator) for s in (shape, (10, 24), (10,))]
    ours = [t.clone().requires_grad_() for t in tensors]
    theirs = [t.clone().requires_grad_() for t in tensors]
    got = linear(ours[0], ours[1], ours[2] if with_bias else None)
    want = F.linear(theirs[0], theirs[1], theirs[2] if with_bias else None)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    weight = torch.randn(want.shape, generator=generator)
    (got * weight).sum().backward()
    (want * weight).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        if other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-5)


def test_views_and_float64() -> None:
    x, w = torch.randn(24, 9).T, torch.randn(24, 10).T
    torch.testing.assert_close(linear(x, w), F.linear(x, w), atol=1e-5, rtol=1e-5)
    x64 = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    w64 = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(linear, (x64, w64))


def test_a_quickened_module_is_the_same_module() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4, bias=False))
    x = torch.randn(5, 8)
    want, names = model(x), list(model.state_dict())
    assert use_fast_linear(model) is model
    torch.testing.assert_close(model(x), want, atol=1e-5, rtol=1e-5)
    assert list(model.state_dict()) == names
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x).dtype == torch.bfloat16
