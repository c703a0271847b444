"""One sequence for a picture and all captions of its group: the picture is read once, every caption sees it alone.

    [picture] [question] [caption 1, answer] ... [caption K, answer] [describe, own caption]

A caption attends to the picture, the question and itself, and its positions begin where the question ends, so every
caption is judged exactly as if it stood alone: one sequence for K examples, at a quarter of the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

OPENING = "<|im_start|>user\n<repo_name><gh_stars>" + "<file_sep>" * 49 + "<filename>"
CLOSING = "<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True)
class PackedGroup:
    """Sequences of one group of B pictures and K captions.

    Attributes
    ----------
    ids : int64 [B, L]
        Token ids; picture tokens hold the image token's id.
    positions : int64 [1, L]
    allowed : bool [1, 1, L, L]
        Which token (row) attends to which (column).
    answers : int64 [K]
        The place from which each caption's answer is predicted.
    spoken : int64 [B, T]
        The tokens of the own caption, -100 where padded; ``spoken_at`` [T] is where each is predicted from.
    """

    ids: Tensor
    positions: Tensor
    allowed: Tensor
    answers: Tensor
    spoken: Tensor
    spoken_at: Tensor


def pack(
    tokenizer: PreTrainedTokenizerBase,
    question: str,
    captions: Sequence[str],
    describe: str,
    own: Sequence[str],
) -> PackedGroup:
    """Lay out a group: every picture with all ``captions``, and its ``own`` caption to be spoken."""
    picture, asked = _tokens(tokenizer, OPENING), _tokens(tokenizer, question)
    judged = [_tokens(tokenizer, f" {caption}{CLOSING}") for caption in captions]
    begun = _tokens(tokenizer, describe + CLOSING)
    said = [_tokens(tokenizer, f"{caption}<|im_end|>") for caption in own]
    longest = max(len(tokens) for tokens in said)
    segments = [picture, asked, *judged, begun + [0] * longest]
    segment = torch.cat([torch.full((len(tokens),), i) for i, tokens in enumerate(segments)])
    starts = [0, len(picture), *[len(picture) + len(asked)] * len(judged), len(picture)]
    positions = torch.cat([torch.arange(s, s + len(tokens)) for s, tokens in zip(starts, segments, strict=True)])
    last = len(segments) - 1
    row, column = segment[:, None], segment[None, :]
    place = torch.arange(len(segment))
    sees = (row == column) | (column == 0) | ((column == 1) & (row > 1) & (row < last))
    allowed = sees & (place[:, None] >= place[None, :])
    answers = torch.tensor([int(place[segment == 2 + k][-1]) for k in range(len(judged))])

    shared = torch.tensor([token for tokens in segments for token in tokens])
    ids = shared.repeat(len(own), 1)
    spoken = torch.full((len(own), longest), -100)
    at = len(segment) - longest
    for i, tokens in enumerate(said):
        ids[i, at : at + len(tokens)] = torch.tensor(tokens)
        spoken[i, : len(tokens)] = torch.tensor(tokens)
    return PackedGroup(
        ids, positions[None], allowed[None, None], answers, spoken, torch.arange(at - 1, at - 1 + longest)
    )


def read(language: nn.Module, packed: PackedGroup, pictures: Tensor, image_token: int) -> Tensor:
    """Last hidden states [B, L, d] of packed sequences; ``pictures`` [B, 49, d] take the places of ``image_token``."""
    words: Tensor = language.embed_tokens.weight  # type: ignore[union-attr, assignment]
    device = words.device
    place = (packed.ids[0] == image_token).nonzero()[:, 0].to(device)
    bias = torch.zeros(packed.allowed.shape, dtype=words.dtype).masked_fill(~packed.allowed, -torch.inf)
    hidden: Tensor = language(
        inputs_embeds=words[packed.ids.to(device)].index_copy(1, place, pictures.to(words.dtype)),
        attention_mask=bias.to(device),
        position_ids=packed.positions.to(device),
        use_cache=False,
    ).last_hidden_state
    return hidden


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
