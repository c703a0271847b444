"""The loop on a tiny model: it learns, goes on where it was killed, and saves what the demo model is put together from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.demo.mllm.adapted import AdaptedModel
from engine.demo.mllm.config import MllmConfig
from engine.demo.mllm.evaluation import validate
from engine.demo.mllm.pairs import TrainingPairs
from engine.demo.mllm.questions import JUDGEMENT_QUESTIONS
from engine.demo.mllm.train import train
from engine.progress import SilentProgress
from engine.retrieval.fine.demo_model import merge_trained_weights

CONFIG = MllmConfig(
    passes=12, group=3, align_steps=3, align_batch=4, every=8, rank=2, projector_lr=5e-3, lora_lr=5e-3, views=1
)


class Killed(Exception):
    pass


class Killer(SilentProgress):
    """Stops the work at the given step, as a kill would."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def advance(self, count: int = 1, note: str = "") -> None:
        if "judge" in note:
            self.left -= 1
            if self.left == 0:
                raise Killed


def test_it_learns_and_keeps_the_best(
    tiny: Callable[[], Any], tokenizer: Any, material: TrainingPairs, tmp_path: Path
) -> None:
    adapted = AdaptedModel(tiny(), tokenizer, replace(CONFIG, passes=40, every=80, rank=8, lora_lr=2e-2))
    before = validate(adapted, material)
    best = train(adapted, material, material, tmp_path, SilentProgress())
    assert best["top1"] >= before["top1"]
    # Two random layers learn which words are asked for and how captions go; the real towers learn the rest.
    assert best["mass"] > 20 * before["mass"]
    assert best["describe_validation"] < before["describe_validation"] - 1
    assert (tmp_path / "best.safetensors").is_file()


def test_a_killed_training_goes_on_to_the_same_end(
    tiny: Callable[[], Any], tokenizer: Any, material: TrainingPairs, tmp_path: Path
) -> None:
    for folder in ("whole", "cut"):
        (tmp_path / folder).mkdir()
    whole = train(AdaptedModel(tiny(), tokenizer, CONFIG), material, material, tmp_path / "whole", SilentProgress())
    with pytest.raises(Killed):
        train(AdaptedModel(tiny(), tokenizer, CONFIG), material, material, tmp_path / "cut", Killer(13))
    cut = train(AdaptedModel(tiny(), tokenizer, CONFIG), material, material, tmp_path / "cut", SilentProgress())
    assert cut["step"] == whole["step"]
    one, other = (load_file(tmp_path / folder / "best.safetensors") for folder in ("whole", "cut"))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=2e-3, rtol=2e-2)


@torch.no_grad()
def test_what_is_saved_is_what_the_demo_model_puts_in(
    tiny: Callable[[], Any], tokenizer: Any, material: TrainingPairs, tmp_path: Path
) -> None:
    trained = AdaptedModel(tiny(), tokenizer, CONFIG)
    for name, parameter in trained.trained.items():
        if "lora_B" in name:
            parameter.normal_(0, 0.3)
    trained.save(tmp_path / "trained.safetensors")
    trained.model.eval()
    members = material.rows[:2]
    adapted, packed = trained.forward(
        material, members, JUDGEMENT_QUESTIONS[0].question, material.captions, material.captions[:2]
    )

    plain = tiny()
    merge_trained_weights(plain, load_file(tmp_path / "trained.safetensors"), CONFIG.rank)
    pictures = plain.model.multi_modal_projector(material.patches[0, :2].float()).reshape(2, 49, -1)
    embedded = plain.get_input_embeddings()(packed.ids)
    place = (packed.ids[0] == plain.config.image_token_id).nonzero()[:, 0]
    bias = torch.zeros(packed.allowed.shape).masked_fill(~packed.allowed, -torch.inf)
    merged = plain.model.language_model(
        inputs_embeds=embedded.index_copy(1, place, pictures), attention_mask=bias, position_ids=packed.positions
    ).last_hidden_state
    # Training multiplies in bfloat16: eight bits of mantissa, two layers deep.
    torch.testing.assert_close(adapted.float(), merged, atol=0.15, rtol=0.05)
    untouched = (
        tiny()
        .model.language_model(
            inputs_embeds=embedded.index_copy(1, place, pictures), attention_mask=bias, position_ids=packed.positions
        )
        .last_hidden_state
    )
    assert (untouched - merged).abs().max() > 0.5  # the adapters do something, so the comparison above can fail
