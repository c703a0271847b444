"""Attention over a dictionary: chunks, masks, thresholds, dtypes, memory, and input that does not fit."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

import kernels.attention
from kernels import sparse_attention, sparse_attention_with_threshold, sparsemax_codes, topk_attention, topk_codes


def inputs(n: int = 50, m: int = 300, d: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=generator) * 0.3, torch.randn(m, d, generator=generator)


def test_chunks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    q, atoms = inputs()
    # float64: a product of fewer rows may round differently in float32.
    whole, tau = sparse_attention_with_threshold(q.double(), atoms.double(), "probability")
    monkeypatch.setitem(kernels.attention.CHUNK_BYTES, "cpu", 7 * 300 * 8)
    parts, tau_of_parts = sparse_attention_with_threshold(q.double(), atoms.double(), "probability")
    assert torch.equal(whole.crow, parts.crow)
    assert torch.equal(whole.col, parts.col)
    torch.testing.assert_close(whole.val, parts.val)
    torch.testing.assert_close(tau, tau_of_parts)


def test_it_is_the_codes_of_the_scores() -> None:
    q, atoms = inputs()
    codes, tau = sparse_attention_with_threshold(q, atoms, scale=2.0)
    want = sparsemax_codes(2.0 * q @ atoms.T)
    assert torch.equal(codes.col, want.col)
    torch.testing.assert_close(codes.val, want.val)
    assert bool((codes.val > tau[codes.row]).all())
    scores = (2.0 * q @ atoms.T).masked_fill(codes.dense() != 0, -torch.inf)
    assert bool((scores.amax(dim=1) <= tau + 1e-5).all())


def test_masked_atoms_never_win_and_no_rows_are_no_trouble() -> None:
    q, atoms = inputs()
    masked = torch.zeros(300, dtype=torch.bool)
    masked[sparse_attention(q, atoms).col.long().unique()[::2]] = True
    codes = sparse_attention(q, atoms, masked=masked)
    assert not bool(masked[codes.col.long()].any())
    assert bool((codes.l0 > 0).all())
    empty = sparse_attention(q[:0], atoms)
    assert len(empty) == 0
    assert empty.nnz == 0
    with pytest.raises(ValueError, match="every atom is masked"):
        sparse_attention(q, atoms, masked=torch.ones(300, dtype=torch.bool))


def test_mixed_and_16_bit_inputs_are_scored_in_float32() -> None:
    q, atoms = inputs()
    want = sparse_attention(q.half().float(), atoms.half().float())
    for left, right in ((q.half(), atoms.half()), (q.half(), atoms.half().float())):
        left.requires_grad_()
        codes = sparse_attention(left, right)
        assert codes.val.dtype == torch.float32
        assert torch.equal(codes.col, want.col)
        codes.val.sum().backward()
        assert left.grad is not None
        assert left.grad.dtype == torch.float16
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sparse_attention(q.half().float(), atoms.half().float()).col, want.col)


def test_topk_attention_is_topk_of_the_scores() -> None:
    q, atoms = inputs()
    bias = torch.linspace(-1, 1, 300)
    codes, want = topk_attention(q, atoms, 12, bias), topk_codes(q @ atoms.T + bias, 12)
    assert torch.equal(codes.col, want.col)
    torch.testing.assert_close(codes.val, want.val)


def test_what_does_not_fit_is_refused() -> None:
    q, atoms = inputs()
    for bad, sentence in (
        ({"atoms": atoms[:, :5]}, "of the same width"),
        ({"atoms": atoms[:0]}, "atoms is empty"),
        ({"masked": torch.zeros(3, dtype=torch.bool)}, "masked must be a bool tensor"),
        ({"masked": torch.zeros(300)}, "masked must be a bool tensor"),
        ({"values": "gate"}, "values must be 'score' or 'probability'"),
        ({"q": q.index_fill(0, torch.tensor([3]), float("nan"))}, "NaN"),
    ):
        with pytest.raises(ValueError, match=sentence):
            sparse_attention(**({"q": q, "atoms": atoms} | bad))
    with pytest.raises(ValueError, match="bias must be"):
        topk_attention(q, atoms, 3, bias=torch.zeros(5))
    with pytest.raises(ValueError, match="k must lie between 1"):
        topk_attention(q, atoms, 301)


MEMORY = """
import resource, sys, torch
from kernels import sparse_attention, sparse_decode
torch.set_num_threads(1)
n, m, d = 4096, 8192, 64
generator = torch.Generator().manual_seed(0)
atoms = torch.nn.Parameter(torch.randn(m, d, generator=generator) / 16)
def step(rows):
    q = torch.randn(rows, d, generator=generator).requires_grad_()
    codes = sparse_attention(q, atoms)
    sparse_decode(codes, atoms).square().sum().backward()
    return codes.l0.float().mean().item()
step(16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
l0 = step(n)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, l0)
"""


@pytest.mark.slow
def test_a_step_never_holds_the_score_matrix() -> None:
    """4096 x 8192 scores would be 134 MB; a step, forward and backward, must stay far below that."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    grown, l0 = (float(word) for word in done.stdout.split())
    assert 5 < l0 < 100
    assert grown < 4096 * 8192 * 4 / 2
