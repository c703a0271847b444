"""The command line's way of writing a config: ``architecture:setting=value,...``."""

from __future__ import annotations

import pytest

from engine.errors import InputError
from engine.sae import SparsemaxConfig, TopKConfig, parse_config

D, M = 24, 96


def test_parse_config_reads_settings_and_defaults() -> None:
    config = parse_config("topk:k=12,aux_weight=0.5", D, M, scale=4.0, loss="published")
    assert config == TopKConfig(d_model=D, n_atoms=M, k=12, aux_weight=0.5, loss="published")
    config = parse_config("sparsemax:scale=16,gate=none,learn_scale=true", D, M, scale=4.0)
    assert config == SparsemaxConfig(d_model=D, n_atoms=M, scale=16.0, learn_scale=True)
    assert parse_config("sparsemax", D, M) == SparsemaxConfig(d_model=D, n_atoms=M)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("relu2", "unknown SAE architecture 'relu2'"),
        ("topk:kk=3", "unknown setting 'kk'"),
        ("topk:3", "key=value"),
        ("topk:k=many", "k must be a number"),
        ("topk:k=0", "k must lie in 1"),
        (f"topk:k={M + 1}", "k must lie in 1"),
        ("sparsemax:scale=-1", "scale must be positive"),
        ("sparsemax:scale=nan", "scale must be positive"),
        ("sparsemax:values=dense", "values must be one of score, probability"),
        ("sparsemax:gate_above=2", "gate_above must lie"),
    ],
)
def test_parse_config_refuses_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_config(text, D, M)
