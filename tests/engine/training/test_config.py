"""The settings and the learning-rate schedule."""

from __future__ import annotations

import pytest

from engine.errors import InputError
from engine.training import TrainConfig


def test_schedule_warms_up_holds_and_decays() -> None:
    options = TrainConfig(lr=1.0, warmup_steps=10, decay_share=0.2)
    rates = [options.learning_rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9:80] == [1.0] * 71
    assert rates[90] == pytest.approx(0.5) and 0 < rates[99] < 0.06
    assert rates[80:] == sorted(rates[80:], reverse=True)


def test_a_short_run_warms_up_over_a_tenth_at_most() -> None:
    rates = [TrainConfig(lr=1.0, warmup_steps=500).learning_rate(step, 50) for step in range(50)]
    assert rates[5] == 1.0
    assert TrainConfig(lr=2.0, decay_share=0.0).learning_rate(0, 1) == 2.0


def test_tokens_or_epochs() -> None:
    assert TrainConfig(epochs=2.5).total_tokens(100) == 250
    assert TrainConfig(epochs=2.5, tokens=7).total_tokens(100) == 7
    assert TrainConfig(epochs=2.5, batch_tokens=40).total_steps(100) == 2 * 3 + 2
    assert TrainConfig(epochs=2, batch_tokens=50).total_steps(100) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"tokens": 0}, {"batch_tokens": 0}, {"lr": 0}, {"lr": float("nan")}, {"warmup_steps": -1},
        {"decay_share": 1.5}, {"grad_clip": -1}, {"seed": -1}, {"init_tokens": 1}, {"log_every": 0},
        {"dtype": "bfloat16"},
    ],
)  # fmt: skip
def test_wrong_settings_are_one_sentence(wrong: dict) -> None:
    with pytest.raises(InputError, match="training: ") as caught:
        TrainConfig(**wrong)
    assert "\n" not in str(caught.value)
