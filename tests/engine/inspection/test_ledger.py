"""The ledger of a token adds up, for every architecture."""

from __future__ import annotations

import pytest
import torch

from engine.inspection.ledger import ledger
from engine.sae import ARCHITECTURES, build_sae, parse_config

D, M = 12, 40


@pytest.mark.parametrize("normalise", ["none", "standardise"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_contributions_and_error_are_the_token(name: str, normalise: str) -> None:
    sae = build_sae(parse_config(name, D, M, k=5, normalise=normalise), seed=3)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, D, generator=generator) * torch.linspace(0.5, 3, D) + 2
    sae.initialise(x, torch.Generator().manual_seed(1))
    sae.eval()
    book = ledger(sae, x)
    assert book.contributions.shape == (book.codes.nnz, D) and book.codes.nnz > 0
    torch.testing.assert_close(book.total, x, rtol=0, atol=2e-5)

    # Oracle: what an atom adds is what the decoder loses without it.
    with torch.no_grad():
        norm = sae.norm(x)
        whole = sae.decode(book.codes, norm).double()
        for entry in range(0, book.codes.nnz, max(book.codes.nnz // 5, 1)):
            val = book.codes.val.clone()
            val[entry] = 0
            without = sae.decode(type(book.codes)(book.codes.crow, book.codes.col, val, M), norm).double()
            row = book.codes.row[entry]
            torch.testing.assert_close((whole - without)[row], book.contributions[entry].double(), rtol=1e-3, atol=1e-5)
