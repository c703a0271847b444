"""Tiny language models as checkpoint folders: a random Llama, GPT-2 or other with a tokenizer of single bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIAL = ("<s>", "</s>")

_USUAL = {"hidden_size": "width", "num_hidden_layers": "layers", "num_attention_heads": "heads"}
_LONG = _USUAL | {"max_position_embeddings": "length"}
FAMILIES: dict[str, tuple[str, dict[str, str], str]] = {
    "opt": ("OPTConfig", _LONG | {"word_embed_proj_dim": "width", "ffn_dim": "width"}, "OPTForCausalLM"),
    "bloom": ("BloomConfig", {"hidden_size": "width", "n_layer": "layers", "n_head": "heads"}, "BloomForCausalLM"),
    "falcon": ("FalconConfig", _LONG, "FalconForCausalLM"),
    "mpt": (
        "MptConfig",
        {"d_model": "width", "n_layers": "layers", "n_heads": "heads", "max_seq_len": "length"},
        "MptForCausalLM",
    ),
    "gpt_neox": ("GPTNeoXConfig", _LONG | {"intermediate_size": "width"}, "GPTNeoXForCausalLM"),
    "xglm": (
        "XGLMConfig",
        {"d_model": "width", "num_layers": "layers", "attention_heads": "heads", "ffn_dim": "width"}
        | {"max_position_embeddings": "length"},
        "XGLMForCausalLM",
    ),
    "biogpt": ("BioGptConfig", _LONG | {"intermediate_size": "width"}, "BioGptForCausalLM"),
}
"""Class of the config, what it calls the shape, and class of the model."""


def save_language_model(folder: Path, kind: str = "llama", width: int = 16, layers: int = 3) -> Path:
    """Write a random model of ``kind`` ("llama", "gpt2" or one of ``FAMILIES``) with a byte-level tokenizer to ``folder``."""
    torch.manual_seed(0)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    common: dict[str, Any] = {"vocab_size": len(vocabulary), "bos_token_id": 0, "eos_token_id": 1}
    model: Any
    if kind == "llama":
        config: Any = transformers.LlamaConfig(
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=64,
            **common,
        )
        model = transformers.LlamaForCausalLM(config)
    elif kind in FAMILIES:
        config_class, names, model_class = FAMILIES[kind]
        shape = dict(zip(("width", "layers", "heads", "length"), (width, layers, 2, 64), strict=True))
        config = getattr(transformers, config_class)(**{name: shape[what] for name, what in names.items()}, **common)
        model = getattr(transformers, model_class)(config)
    else:
        config = transformers.GPT2Config(n_embd=width, n_layer=layers, n_head=2, n_positions=64, **common)
        model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder
