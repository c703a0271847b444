"""Triton sparse decode and gathered dots against dense float64, and their repeatability."""

from __future__ import annotations

import pytest
import torch

from kernels import SparseCodes, sparsemax_codes
from kernels.decode import transposed
from kernels.gpu.sparse_decode import gather_sum
from kernels.gpu.sparse_dots import gather_dots


@pytest.fixture
def codes(device: torch.device, real_size: bool) -> SparseCodes:
    n, m = (2048, 16_384) if real_size else (7, 400)
    return sparsemax_codes(torch.randn(n, m, generator=torch.Generator().manual_seed(0)) * 0.2).to(device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("width", [1, 37, 600])
def test_gather_sum(codes: SparseCodes, width: int, dtype: torch.dtype, device: torch.device) -> None:
    table = torch.randn(codes.n_atoms, width, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    got = gather_sum(codes.crow, codes.col, codes.val, table)
    want = codes.dense().double() @ table.double()
    torch.testing.assert_close(got.double(), want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("width", [1, 37, 600])
def test_gather_dots(codes: SparseCodes, width: int, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(2)
    left = torch.randn(len(codes), width, generator=generator).to(device)
    table = torch.randn(codes.n_atoms, width, generator=generator).to(device)
    got = gather_dots(codes.crow, codes.col, left, table)
    want = (left.double() @ table.double().T)[codes.row, codes.col.long()]
    torch.testing.assert_close(got.double(), want, atol=1e-4, rtol=1e-4)


def test_the_gradient_of_a_table_repeats_bit_for_bit(codes: SparseCodes, device: torch.device) -> None:
    grad = torch.randn(len(codes), 70, generator=torch.Generator().manual_seed(3)).to(device)
    runs = []
    for _ in range(2):
        by_atom = transposed(codes)
        runs.append(gather_sum(by_atom.crow, by_atom.col, by_atom.val, grad))
    assert torch.equal(runs[0], runs[1])
    torch.testing.assert_close(runs[0].double(), codes.dense().double().T @ grad.double(), atol=1e-4, rtol=1e-4)


def test_no_entries_and_no_rows(device: torch.device) -> None:
    table = torch.randn(5, 8, device=device)
    nothing = torch.empty(0, device=device)
    for rows in (0, 3):
        crow = torch.zeros(rows + 1, dtype=torch.int64, device=device)
        out = gather_sum(crow, nothing.int(), nothing, table)
        assert out.shape == (rows, 8)
        assert not bool(out.any())
        assert gather_dots(crow, nothing.int(), torch.ones(rows, 8, device=device), table).shape == (0,)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_whole_step_on_the_gpu_is_the_step_on_the_cpu() -> None:
    from kernels import sparse_attention, sparse_decode

    def step(device: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(4)
        q, atoms = (torch.randn(n, 256, generator=generator).to(device).requires_grad_() for n in (4096, 16_384))
        out = sparse_decode(sparse_attention(q, atoms, "probability", scale=1 / 16), atoms)
        out.square().mean().backward()
        return [t.detach().double().cpu() for t in (out, q.grad, atoms.grad) if t is not None]

    for cpu, gpu in zip(step("cpu"), step("cuda"), strict=True):
        assert float((cpu - gpu).norm() / cpu.norm()) < 1e-4
