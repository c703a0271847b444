"""A packed group must give exactly what every picture and caption give alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

from engine.backbones import embedded
from engine.demo.mllm.packing import CLOSING, OPENING, pack
from engine.demo.mllm.questions import CAPTIONING, JUDGEMENT_QUESTIONS

CAPTIONS = ["A red cat.", "A drawing of a blue dog on a chair.", "A sun."]


def hidden_of(model: Any, ids: torch.Tensor, pictures: torch.Tensor, **more: Any) -> torch.Tensor:
    embedded = model.get_input_embeddings()(ids)
    place = (ids[0] == model.config.image_token_id).nonzero()[:, 0]
    embedded = embedded.index_copy(1, place, pictures)
    return model.model.language_model(inputs_embeds=embedded, use_cache=False, **more).last_hidden_state


@torch.no_grad()
def test_every_judgement_and_caption_equals_the_sequence_alone(tiny: Callable[[], Any], tokenizer: Any) -> None:
    model, question = tiny(), JUDGEMENT_QUESTIONS[0].question
    packed = pack(tokenizer, question, CAPTIONS, CAPTIONING, CAPTIONS[:2])
    pictures = torch.randn(2, 49, 32)
    bias = torch.zeros(packed.allowed.shape).masked_fill(~packed.allowed, -torch.inf)
    together = hidden_of(model, packed.ids, pictures, attention_mask=bias, position_ids=packed.positions)

    def alone(picture: int, text: str) -> torch.Tensor:
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        return hidden_of(model, ids, pictures[picture : picture + 1])[0]

    for picture in range(2):
        for place, caption in enumerate(CAPTIONS):
            want = alone(picture, f"{OPENING}{question} {caption}{CLOSING}")[-1]
            torch.testing.assert_close(together[picture, packed.answers[place]], want, atol=2e-5, rtol=1e-4)
        said = tokenizer(f"{CAPTIONS[picture]}<|im_end|>", add_special_tokens=False)["input_ids"]
        assert packed.spoken[picture][packed.spoken[picture] != -100].tolist() == said
        want = alone(picture, f"{OPENING}{CAPTIONING}{CLOSING}{CAPTIONS[picture]}<|im_end|>")[-len(said) - 1 : -1]
        got = together[picture, packed.spoken_at[: len(said)]]
        torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-4)


def test_a_caption_sees_no_other_caption(tokenizer: Any) -> None:
    packed = pack(tokenizer, JUDGEMENT_QUESTIONS[0].question, CAPTIONS, CAPTIONING, CAPTIONS[:1])
    allowed = packed.allowed[0, 0]
    first, second = packed.answers[0], packed.answers[1]
    own = allowed[second] & ~allowed[first]
    assert not allowed[second, packed.answers[0]] and not allowed[first, second]
    assert int(own.sum()) == int(packed.positions[0, second] - packed.positions[0, first + 1]) + 1
    assert not allowed.triu(1).any()


@pytest.mark.weights
@pytest.mark.skipif(not embedded.is_ready("smollm2-135m"), reason="needs the embedded weights: atomscope demo weights")
def test_a_sequence_begins_and_ends_as_the_processor_writes_it() -> None:
    from engine.retrieval.fine.demo_model import make_processor
    from engine.retrieval.fine.prompts import chat

    processor = make_processor(embedded.fetch("smollm2-135m"))
    question = JUDGEMENT_QUESTIONS[0].question
    text = processor.apply_chat_template(chat(question, 1), add_generation_prompt=True, tokenize=False)
    written = processor(text=[text], images=[Image.new("RGB", (224, 224))])["input_ids"][0]
    assert written == processor.tokenizer(f"{OPENING}{question}{CLOSING}")["input_ids"]
