"""Tiny, randomly initialised multimodal models of real architectures, saved to folders as a user would have them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Special tokens each architecture's processor and chat template want to find.
SPECIAL = {
    "pad": "<pad>",
    "start": "<|im_start|>",
    "end": "<|im_end|>",
    "image": "<image>",
    "image_soft_token": "<image_soft_token>",
    "boi": "<start_of_image>",
    "eoi": "<end_of_image>",
    "vision_start": "<|vision_start|>",
    "vision_end": "<|vision_end|>",
    "image_pad": "<|image_pad|>",
    "video_pad": "<|video_pad|>",
    "img": "<img>",
    "img_end": "</img>",
    "context": "<IMG_CONTEXT>",
    "video": "<video>",
    "fake": "<fake_token_around_image>",
    "utterance": "<end_of_utterance>",
    "global": "<global-img>",
    "patch": "<|IMG_PATCH|>",
    "soi": "<|START_OF_IMG|>",
    "eoimg": "<|END_OF_IMG|>",
    "tile": "TILE_GLOBAL",
}
WORDS = (
    "Does the picture match the caption? Answer True or False. Caption: a red square and a blue circle on a table. "
    "Describe the picture in one sentence. Give a score between 0 and 1 for how well the caption fits the picture. "
    "How well does it fit, from 0 (not at all) to 9 (exactly)? Answer with one digit. True False true false 0 1 2 3 4 5 6 7 8 9"
)
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


@dataclass(frozen=True)
class Widths:
    """What a LLaVA of another size has instead of the tiny ones' values: pictures of ``side`` pixels, patches of 8."""

    text: dict[str, int] = field(default_factory=dict)
    vision: dict[str, int] = field(default_factory=dict)
    side: int = 32
    noise: float = 0.08
    """Standard deviation added to every weight: the usual start is so small that pictures and layers would not matter."""


_CHAT = (
    "{%% for message in messages %%}<|im_start|>{{ message['role'] }}\n"
    "{%% for part in message['content'] %%}{%% if part['type'] == 'image' %%}%s{%% else %%}{{ part['text'] }}{%% endif %%}"
    "{%% endfor %%}<|im_end|>\n{%% endfor %%}{%% if add_generation_prompt %%}<|im_start|>assistant\n{%% endif %%}"
)
PLACEHOLDER = {
    "qwen2_5_vl": "<|vision_start|><|image_pad|><|vision_end|>",
    "qwen3_vl": "<|vision_start|><|image_pad|><|vision_end|>",
    "internvl": "<IMG_CONTEXT>\n",
    "gemma3": "<start_of_image>",
}


def make_tokenizer(kind: str = "llava") -> Any:
    """A byte-level tokenizer trained on the prompts' own words; True and False are single tokens, with and without space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    base = Tokenizer(models.BPE())
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    base.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=460, special_tokens=list(SPECIAL.values()), initial_alphabet=alphabet)
    base.train_from_iterator([WORDS, "True\nFalse\nTrue\nFalse\ntrue\nfalse\nTRUE\nFALSE"] * 20, trainer)
    named = {
        "gemma3": {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"},
        "internvl": {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    }.get(kind, {})
    return PreTrainedTokenizerFast(
        tokenizer_object=base,
        pad_token="<pad>",
        eos_token="<|im_end|>",
        padding_side="left",
        extra_special_tokens=named,
    )


def _build(kind: str, tokenizer: Any, widths: Widths) -> tuple[Any, dict[str, Any]]:
    """An untrained model and what stands in its processor's configuration."""
    import transformers as t

    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in SPECIAL.items()}
    text = TEXT | {"vocab_size": len(tokenizer), "pad_token_id": ids["pad"], "eos_token_id": ids["end"]}
    size = {"height": widths.side, "width": widths.side}
    normal = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.25], "resample": 3}
    clip = VISION | {"image_size": 32, "patch_size": 8}
    match kind:
        case "qwen2_5_vl" | "qwen3_vl":
            rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
            marks = {
                "image_token_id": ids["image_pad"],
                "video_token_id": ids["video_pad"],
                "vision_start_token_id": ids["vision_start"],
                "vision_end_token_id": ids["vision_end"],
            }
            images = {"image_processor_type": "Qwen2VLImageProcessor", **normal, "merge_size": 2}
            vision = {"depth": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24, "out_hidden_size": 32}
            if kind == "qwen2_5_vl":
                vision |= {"patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1]}
                config = t.Qwen2_5_VLConfig(text_config=text | {"rope_parameters": rope}, vision_config=vision, **marks)
                pixels = {"size": {"shortest_edge": 256, "longest_edge": 1024}, "patch_size": 4}
                return t.Qwen2_5_VLForConditionalGeneration(config), images | pixels
            vision |= {"patch_size": 4, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64}
            text |= {"head_dim": 8}
            config = t.Qwen3VLConfig(
                text_config=text | {"rope_parameters": rope | {"mrope_interleaved": True}},
                vision_config=vision,
                **marks,
            )
            pixels = {"size": {"shortest_edge": 256, "longest_edge": 1024}, "patch_size": 4}
            return t.Qwen3VLForConditionalGeneration(config), images | pixels
        case "llava":
            config = t.LlavaConfig(
                vision_config=t.CLIPVisionConfig(**clip | widths.vision | {"image_size": widths.side}),
                text_config=t.LlamaConfig(**text | widths.text),
                image_token_index=ids["image"],
            )
            crop = {"crop_size": size, "size": {"shortest_edge": widths.side}}
            return t.LlavaForConditionalGeneration(config), {
                "image_processor_type": "CLIPImageProcessor",
                **normal,
                **crop,
            }
        case "idefics3":
            config = t.Idefics3Config(
                vision_config=clip, text_config=t.LlamaConfig(**text), image_token_id=ids["image"], scale_factor=2
            )
            tiles = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}, "do_image_splitting": True}
            return t.Idefics3ForConditionalGeneration(config), {
                "image_processor_type": "Idefics3ImageProcessor",
                **normal,
                **tiles,
            }
        case "internvl":
            config = t.InternVLConfig(
                vision_config=VISION | {"image_size": [32, 32], "patch_size": [8, 8]},
                text_config=t.Qwen2Config(**text),
                image_token_id=ids["context"],
                image_seq_length=4,
                downsample_ratio=0.5,
            )
            return t.InternVLForConditionalGeneration(config), {
                "image_processor_type": "GotOcr2ImageProcessor",
                **normal,
                "size": size,
                "max_patches": 3,
            }
        case "gemma3":
            sliding = {"sliding_window": 128, "head_dim": 8, "query_pre_attn_scalar": 8}
            config = t.Gemma3Config(
                vision_config=clip,
                text_config=text | sliding,
                mm_tokens_per_image=4,
                image_token_index=ids["image_soft_token"],
                boi_token_index=ids["boi"],
                eoi_token_index=ids["eoi"],
            )
            return t.Gemma3ForConditionalGeneration(config), {
                "image_processor_type": "Gemma3ImageProcessor",
                **normal,
                "size": size,
            }
        case "aya_vision":
            config = t.AyaVisionConfig(
                vision_config=t.CLIPVisionConfig(**clip),
                text_config=t.LlamaConfig(**text),
                vision_feature_layer=-2,
                vision_feature_select_strategy="default",
                downsample_factor=2,
                alignment_intermediate_size=32,
                image_token_index=ids["patch"],
            )
            return t.AyaVisionForConditionalGeneration(config), {
                "image_processor_type": "GotOcr2ImageProcessor",
                **normal,
                "size": size,
                "max_patches": 1,
            }
        case _:
            raise AssertionError(kind)


_PROCESSORS: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": {"processor_class": "Qwen2_5_VLProcessor"},
    "qwen3_vl": {"processor_class": "Qwen3VLProcessor"},
    "llava": {"processor_class": "LlavaProcessor", "patch_size": 8, "vision_feature_select_strategy": "default"}
    | {"num_additional_image_tokens": 1},
    "idefics3": {"processor_class": "Idefics3Processor", "image_seq_len": 4},
    "internvl": {"processor_class": "InternVLProcessor", "image_seq_length": 4},
    "gemma3": {"processor_class": "Gemma3Processor", "image_seq_length": 4},
    "aya_vision": {"processor_class": "AyaVisionProcessor", "patch_size": 16, "img_size": 32},
}


def save_tiny_mllm(folder: Path, kind: str, widths: Widths | None = None) -> Path:
    """Write a model of that architecture with its processor and tokenizer, and return the folder.

    ``widths`` makes a larger one, of kind "llava" only.
    """
    assert widths is None or kind == "llava", "only the LLaVA comes in other sizes"
    widths = widths or Widths()
    import torch

    torch.manual_seed(len(kind))
    tokenizer = make_tokenizer(kind)
    model, images = _build(kind, tokenizer, widths)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(widths.noise * torch.randn_like(parameter))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    (folder / "processor_config.json").write_text(json.dumps(_PROCESSORS[kind]))
    (folder / "chat_template.jinja").write_text(_CHAT % PLACEHOLDER.get(kind, "<image>"))
    return folder
