"""From a checkpoint of a causal language model to a backbone with one layer listened to."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from engine.backbones import checkpoints
from engine.backbones.blocks import listened_block, probe_block
from engine.backbones.language.backbone import LanguageBackbone
from engine.backbones.spec import TEXT_TOKENS, LanguageSpec, check_choice, layer_index
from engine.errors import InputError
from kernels.products import use_fast_linear

CONTEXT = 128

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""What configs call the number of tokens that a model reads: GPT-2's, MPT's and Bloom's names beside the usual one."""


def is_language_model(config: PretrainedConfig) -> bool:
    """Whether transformers has a causal language model for this config, and it sees no pictures."""
    known = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    decoder = config.model_type not in ("bert", "roberta", "electra", "camembert") or getattr(
        config, "is_decoder", False
    )
    return config.model_type in known and decoder and not hasattr(config, "vision_config")


def load_language_backbone(
    source: checkpoints.CheckpointSource,
    config: PretrainedConfig,
    layer: int,
    site: str,
    tokens: str,
    context: int | None,
    device: torch.device,
) -> LanguageBackbone:
    """Load a causal language model with its tokenizer and listen to one of its layers.

    Parameters
    ----------
    tokens : "text" or "all"
        Whether to leave out the beginning-of-text position (see :class:`LanguageBackbone`) or to keep it.
    context : int, optional
        Tokens of a chunk; 128 by default, or fewer where the model reads no more.

    Raises
    ------
    InputError
        If the model is not built of blocks, has no such layer or site, or its tokenizer cannot mark where texts begin and end.
    """
    check_choice("choice of tokens", tokens, TEXT_TOKENS)
    name = source.name
    n_layers = int(config.num_hidden_layers)
    index = layer_index(layer, n_layers, name)
    longest = _longest(config)
    with checkpoints.checkpoint_errors(source):
        tokenizer = AutoTokenizer.from_pretrained(source.location, **source.access)
        model = AutoModelForCausalLM.from_pretrained(
            source.location, config=config, dtype=torch.float32, **source.access
        )
    lead, separator = _marks(tokenizer, config, name)
    most = longest - len(lead) if longest else None
    if context is not None and (context < 2 or (most and context > most)):
        raise InputError(f"--context must be 2 to {most or 'any number of'} tokens for {name}, not {context}.")
    context = context or min(CONTEXT, most or CONTEXT)
    model.eval().requires_grad_(False)
    block, listened = listened_block(model, n_layers, index, site, f"{name} ({config.model_type})")
    model = model.to(device)
    if device.type == "cpu":
        use_fast_linear(model)
    ids = torch.full((1, len(lead) + context), separator, device=device)
    after, output = probe_block(
        block, site, lambda: model.base_model(ids, use_cache=False), name, f"{ids.shape[1]} tokens", "chunks"
    )
    if after.shape[:2] != ids.shape:
        raise InputError(f"{name} does not keep one residual vector for each token.")
    prefix = len(lead) if tokens == "all" else 0
    spec = LanguageSpec(
        name=name,
        revision=checkpoints.revision_of(source),
        architecture=type(model).__name__,
        layer=layer,
        layer_index=index,
        n_layers=n_layers,
        site=site,
        tokens=tokens,
        d_model=int(after.shape[2]),
        embedding_dim=int(output.last_hidden_state.shape[2]),
        embedding="mean of the last hidden states over the text, less the mean of all chunks",
        grid=[0, 0],
        prefix=prefix,
        image_size=[0, 0],
        preprocessing={
            "context": context,
            "lead": {"ids": lead, "tokens": tokenizer.convert_ids_to_tokens(lead)},
            "separator": {"id": separator, "token": tokenizer.convert_ids_to_tokens(separator)},
            "packing": "texts of one split, label and origin joined and cut into chunks of context tokens; no padding",
        },
        note=source.note,
    )
    return LanguageBackbone(model, listened, tokenizer, lead, separator, spec, device)


def _longest(config: PretrainedConfig) -> int | None:
    """Most tokens that the model reads at once; None where its config states none."""
    stated = (getattr(config, name, None) for name in _LENGTHS)
    return next((length for length in stated if isinstance(length, int) and length > 0), None)


def _marks(tokenizer: Any, config: PretrainedConfig, name: str) -> tuple[list[int], int]:
    """Ids put in front of every chunk (beginning of text, line break), and the id put after every text."""
    first = _token(tokenizer.bos_token_id, getattr(config, "bos_token_id", None))
    last = _token(tokenizer.eos_token_id, getattr(config, "eos_token_id", None))
    if first is None and last is None:
        raise InputError(
            f"The tokenizer of {name} has neither a beginning- nor an end-of-text token: it cannot mark texts."
        )
    first, last = (last if first is None else first), (first if last is None else last)
    assert first is not None and last is not None
    line = tokenizer("\n", add_special_tokens=False)["input_ids"]
    is_line = len(line) == 1 and tokenizer.decode(line) == "\n"
    return [first, *(line if is_line else [])], last


def _token(*candidates: Any) -> int | None:
    for candidate in candidates:
        if isinstance(candidate, (list, tuple)):
            candidate = candidate[0] if candidate else None
        if candidate is not None:
            return int(candidate)
    return None
