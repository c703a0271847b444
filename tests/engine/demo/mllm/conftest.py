"""A tiny model of the demo's own architecture, with a tokenizer that knows the demo's marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from engine.demo.mllm.pairs import TrainingPairs
from engine.demo.mllm.questions import CAPTIONING, JUDGEMENT_QUESTIONS

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>", "<filename>", "<gh_stars>"]
CAPTIONS = [
    "A red cat.",
    "A blue dog.",
    "A drawing of a green bird.",
    "A tall house.",
    "A 3D emoji of a fish.",
    "A sun.",
]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    base = Tokenizer(models.BPE())
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    base.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=MARKS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    texts = [
        *(w.question for w in JUDGEMENT_QUESTIONS),
        CAPTIONING,
        *CAPTIONS,
        *["True", "False", " True", " False"] * 9,
    ]
    base.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=base, eos_token="<|im_end|>", pad_token="<|endoftext|>")


@pytest.fixture
def tiny(tokenizer: Any) -> Callable[[], Any]:
    """Make the same random model each time: 196 patches of width 16, two decoder layers of width 32."""
    from transformers import AyaVisionConfig, AyaVisionForConditionalGeneration

    def make() -> Any:
        torch.manual_seed(3)
        vision = {"model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
        vision |= {"num_attention_heads": 2, "image_size": 224, "patch_size": 16}
        text = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
        text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 700, "tie_word_embeddings": True}
        model = AyaVisionForConditionalGeneration(
            AyaVisionConfig(
                vision_config=vision,
                text_config=text,
                vision_feature_layer=-2,
                vision_feature_select_strategy="default",
                downsample_factor=2,
                image_token_index=tokenizer.convert_tokens_to_ids("<file_sep>"),
                alignment_intermediate_size=48,
            )
        )
        # Word embeddings as long as a trained model's: the frozen head can then say something with certainty.
        model.get_input_embeddings().weight.data *= 25
        return model.eval()

    return make


@pytest.fixture
def material() -> TrainingPairs:
    """Six pictures whose patches carry their number, and their captions."""
    rng = np.random.default_rng(0)
    count = len(CAPTIONS)
    patches = torch.from_numpy(rng.normal(size=(2, count, 196, 16)).astype(np.float16))
    patches += torch.eye(count, 16)[None, :, None].half() * 3
    near = np.eye(count, dtype=np.float32)
    keywords = [caption.lower().rstrip(".").split()[-2:] for caption in CAPTIONS]
    return TrainingPairs(np.arange(count), patches, CAPTIONS, keywords, near, np.eye(count, dtype=bool))
