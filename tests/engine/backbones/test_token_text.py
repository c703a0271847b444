"""The pieces of a chunk, for every kind of tokenizer: together they are what the tokenizer itself decodes."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from engine.backbones.language.packing import token_text

TEXTS = [
    "the sky is blue over the old town and a river runs through the town",
    "naïve café, crème brûlée; שלום עולם; हिन्दी में लिखा; ภาษาไทย; 中文字符; 😀👩‍👩‍👧 and more",
    "two  spaces,\ttabs\nand lines\n\n  indented 3.14 don't can't",
]
BYTES = [f"<0x{number:02X}>" for number in range(256)]


@cache
def tokenizer(kind: str) -> Any:
    """A tokenizer of one family, trained on ``TEXTS``."""
    special = ["<s>", "</s>", "<unk>"]
    made: Tokenizer
    if kind in ("byte-level", "byte-level with a space in front"):  # GPT-2, SmolLM2, Qwen; RoBERTa, OPT
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind != "byte-level")
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        made.train_from_iterator(
            TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
        )
    elif (
        kind == "llama"
    ):  # Llama 2, Mistral, Phi-3: pieces that begin with a mark, bytes for the rest, first space stripped
        made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        made.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        made.train_from_iterator(TEXTS[:1], trainers.BpeTrainer(vocab_size=420, special_tokens=[*special, *BYTES]))
    elif kind == "sentencepiece":  # T5, XGLM: a unigram model over words with a mark
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        made.train_from_iterator(
            TEXTS, trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>")
        )
    elif kind == "wordpiece":  # BERT: pieces that go on a word begin with ##, punctuation is set off
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece(cleanup=True)
        made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    elif kind == "word ends":  # the first GPT, FSMT: the last piece of a word says so
        made = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.decoder = decoders.BPEDecoder("</w>")
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, end_of_word_suffix="</w>")
        made.train_from_iterator(TEXTS, trainer)
    else:  # whole words, joined with spaces
        made = Tokenizer(models.WordLevel(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.train_from_iterator(TEXTS, trainers.WordLevelTrainer(special_tokens=special))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


KINDS = [
    "byte-level",
    "byte-level with a space in front",
    "llama",
    "sentencepiece",
    "wordpiece",
    "word ends",
    "words",
]


def check(kind: str, ids: list[int]) -> list[str]:
    """What must hold of any ids; returns the pieces."""
    text, starts = token_text(tokenizer(kind), ids)
    assert text == tokenizer(kind).decode(ids, clean_up_tokenization_spaces=False)
    ends = [*starts.tolist(), len(text)]
    assert ends[0] == 0 and all(a <= b for a, b in pairwise(ends))
    pieces = [text[a:b] for a, b in pairwise(ends)]
    assert "".join(pieces) == text
    return pieces


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_of_a_text_are_what_the_tokenizer_decodes(kind: str, text: str) -> None:
    ids = tokenizer(kind)(text, add_special_tokens=False)["input_ids"]
    for chunk in (ids, ids[3:20], ids[5:6]):
        check(kind, chunk)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_ids_at_all(kind: str, data: st.DataObject) -> None:
    """Chunks are cut anywhere: in the middle of a word, of a character, between special tokens."""
    ids = data.draw(st.lists(st.integers(0, len(tokenizer(kind)) - 1), min_size=1, max_size=24))
    check(kind, ids)


@pytest.mark.parametrize("kind", ["byte-level", "llama", "sentencepiece", "words"])
def test_words_keep_the_space_in_front_of_them(kind: str) -> None:
    words = "the sky is blue over the old town"
    pieces = check(kind, tokenizer(kind)(words, add_special_tokens=False)["input_ids"])
    assert "".join(pieces).strip() == words


def test_a_character_of_several_tokens_belongs_to_the_one_that_completes_it() -> None:
    kind = "llama"
    ids = tokenizer(kind)("a 😀 b", add_special_tokens=False)["input_ids"]
    assert "�" not in "".join(check(kind, ids))
    assert [piece for piece in check(kind, ids) if "😀" in piece] == ["😀"]
