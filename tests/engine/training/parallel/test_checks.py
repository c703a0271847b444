"""What several processes cannot train together is refused with a sentence."""

from __future__ import annotations

import pytest

from engine.distributed import Group
from engine.errors import InputError
from engine.sae import SparsemaxConfig, TopKConfig, parse_config
from engine.training.parallel.checks import check_shareable, check_splittable


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("relu", "topk and sparsemax can"),
        ("sparsemax:gate=frequency", "--gate none"),
        ("topk:k=3", "41 atoms cannot be split evenly"),
    ],
)
def test_what_cannot_be_split(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_splittable(parse_config(text, 8, 41), Group(0, 2))


def test_what_cannot_be_shared() -> None:
    check_shareable([SparsemaxConfig(d_model=8, n_atoms=16)], Group(0, 2), "tokens")
    with pytest.raises(InputError, match="without torchrun"):
        check_shareable([parse_config("matryoshka:k=3", 8, 64)], Group(0, 2), "tokens")
    with pytest.raises(InputError, match="not 'atoms'"):
        check_shareable([TopKConfig(d_model=8, n_atoms=16, k=2)], Group(0, 2), "atoms")
