"""Causal language models: chunks without padding, and activations that are those of a plain forward pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.activations import extract
from engine.backbones import LanguageBackbone, load_backbone
from engine.backbones.language.packing import PackedTexts, pack, token_text
from engine.corpus import open_corpus
from engine.corpus.base import Corpus
from engine.corpus.items import items_frame
from engine.corpus.texts import TableTexts
from engine.errors import InputError
from tests.engine.backbones.language_models import save_language_model

CONTEXT = 8


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("language")
    return {kind: save_language_model(root / kind, kind) for kind in ("llama", "gpt2")}


@pytest.fixture(scope="module")
def llama(folders: dict[str, Path]) -> LanguageBackbone:
    return load_backbone(str(folders["llama"]), 1, device="cpu", modality="text", context=CONTEXT)


def texts_of(rows: list[tuple[str, str, str]]) -> Corpus:
    """A corpus of (text, split, label)."""
    words, splits, labels = zip(*rows, strict=True)
    items = items_frame({"id": [f"t{i}" for i in range(len(rows))], "split": splits, "label": labels}, kind="text")
    return Corpus("texts", Path("."), items, TableTexts(list(words)), lambda: "hash")


def prepared(backbone: LanguageBackbone, *words: str) -> PackedTexts:
    return backbone.prepare(texts_of([(word, "train", "a") for word in words]))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("site", ["residual", "mlp", "attention"])
def test_activations_are_those_of_a_plain_forward_hook(folders: dict[str, Path], kind: str, site: str) -> None:
    backbone = load_backbone(str(folders[kind]), 1, site, device="cpu", modality="text", context=CONTEXT)
    chunks = prepared(backbone, "the house is red", "a river", "two")
    model = transformers.AutoModelForCausalLM.from_pretrained(folders[kind])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    blocks = model.model.layers if kind == "llama" else model.transformer.h
    names = {"residual": None, "mlp": "mlp", "attention": "self_attn" if kind == "llama" else "attn"}
    part = blocks[1] if names[site] is None else getattr(blocks[1], names[site])
    heard: list[torch.Tensor] = []
    part.register_forward_hook(lambda _m, _i, out: heard.append(out if isinstance(out, torch.Tensor) else out[0]))
    line = tokenizer("\n", add_special_tokens=False)["input_ids"]
    assert len(chunks) == 3
    for item in range(len(chunks)):
        with torch.no_grad():
            model(torch.tensor([[tokenizer.bos_token_id, *line, *chunks.ids[item]]]))
        found = backbone.run(backbone.read(chunks, item))
        assert found.activations.shape == (1, CONTEXT, 16)
        assert torch.allclose(found.activations[0], heard.pop()[0, 2:], atol=1e-5)
        assert float(found.embeddings.norm()) == pytest.approx(1, abs=1e-5)


def test_the_lead_is_kept_when_it_is_asked_for(folders: dict[str, Path], llama: LanguageBackbone) -> None:
    whole = load_backbone(str(folders["llama"]), 1, tokens="all", device="cpu", modality="text", context=CONTEXT)
    chunks = prepared(llama, "the house is red")
    assert (llama.spec.prefix, whole.spec.prefix) == (0, 2)
    with_lead, without = (b.run(b.read(chunks, 0)).activations for b in (whole, llama))
    assert torch.equal(with_lead[:, 2:], without)
    ids, starts = whole.stored_tokens(chunks, [0])
    assert ids.shape == starts.shape == (1, CONTEXT + 2) == (1, whole.spec.n_positions)
    assert (starts[0, :3] == 0).all()


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, st.sampled_from(["train", "test"]), st.sampled_from(["a", "b", ""])), min_size=1))
def test_packing_keeps_every_token_once_and_pads_none(
    llama: LanguageBackbone, rows: list[tuple[str, str, str]]
) -> None:
    """Of each split the chunks hold what the texts hold, but for fewer than ``context`` tokens at its end."""
    tokenizer, separator = llama.tokenizer, llama.tokenizer.eos_token_id
    expected = {"train": [], "test": []}  # type: dict[str, list[int]]
    for text, split, _ in rows:
        if ids := tokenizer(text.removeprefix("\ufeff").strip(), add_special_tokens=False)["input_ids"]:
            expected[split] += [*ids, separator]
    if all(len(ids) < CONTEXT for ids in expected.values()):
        with pytest.raises(InputError, match="fewer than one chunk"):
            pack(texts_of(rows), tokenizer, CONTEXT, separator)
        return
    chunks = pack(texts_of(rows), tokenizer, CONTEXT, separator)
    assert chunks.ids.shape == chunks.starts.shape == (len(chunks), CONTEXT)
    dropped = 0
    for split, ids in expected.items():
        stored = chunks.ids[(chunks.items["split"] == split).to_numpy()].ravel()
        missing = np.bincount(ids, minlength=300) - np.bincount(stored, minlength=300)
        assert (missing >= 0).all() and missing.sum() == len(ids) % CONTEXT
        dropped += len(ids) % CONTEXT
    assert chunks.dropped == dropped
    for caption, starts in zip(chunks.items["caption"], chunks.starts, strict=True):
        assert (np.diff(starts) >= 0).all() and starts[0] >= 0 and starts[-1] <= len(caption)


def test_texts_of_different_labels_share_a_chunk_only_as_left_overs(llama: LanguageBackbone) -> None:
    rows = [("x" * 9, "train", "a"), ("y" * 9, "train", "b"), ("z" * 9, "test", "a")]
    chunks = llama.prepare(texts_of(rows))
    assert list(chunks.items["label"]) == ["a", "b", "a"]
    assert list(chunks.items["caption"]) == ["x" * 8, "y" * 8, "z" * 8]
    rows = [("x" * 5, "train", "a"), ("y" * 5, "train", "b")]
    assert list(llama.prepare(texts_of(rows)).items["label"]) == [""]


def test_a_character_of_several_tokens_belongs_to_the_last_of_them(llama: LanguageBackbone) -> None:
    ids = llama.tokenizer("aé漢b", add_special_tokens=False)["input_ids"]
    text, starts = token_text(llama.tokenizer, ids)
    assert text == "aé漢b"
    ends = [*starts[1:], len(text)]
    assert [text[a:b] for a, b in zip(starts, ends, strict=True)] == ["a", "", "é", "", "", "漢", "b"]


def test_a_store_of_texts_keeps_tokens_and_nothing_but_tokens(folders: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "one two three four", "label": "n"}\n{"text": "a longer line of words", "label": "n"}\n')
    backbone = load_backbone(str(folders["llama"]), -1, device="cpu", modality="text", context=CONTEXT)
    store = extract(backbone, open_corpus(file), tmp_path / "store", batch_size=2)
    store.verify()
    tokens = len("one two three four") + len("a longer line of words") + 2
    assert store.n_tokens == tokens // CONTEXT * CONTEXT
    assert store.token_ids is not None and store.token_starts is not None
    for item in range(store.n_items):
        again = backbone.run(backbone.with_lead(store.token_ids[item : item + 1])).activations[0]
        assert torch.allclose(store.item(item), again, atol=1e-5)
    assert np.allclose(np.linalg.norm(store.embeddings, axis=1), 1, atol=1e-5)
    assert extract(backbone, open_corpus(file), tmp_path / "store").hash == store.hash


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"context": 1}, "--context must be 2 to 62 tokens"),
        ({"context": 63}, "--context must be 2 to 62 tokens"),
        ({"layer": 7}, "has no layer 7"),
        ({"tokens": "patches"}, "choose one of: text, all"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    folders: dict[str, Path], arguments: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        load_backbone(str(folders["llama"]), **{"device": "cpu", "modality": "text", **arguments})  # type: ignore[call-overload]


def test_a_picture_model_is_no_language_model(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="clip-vit-b16 is no language model but a image tower|is no language model but"
    ):
        load_backbone("clip-vit-b16", modality="text")
    config = transformers.BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="not a causal language model"):
        load_backbone(str(tmp_path), modality="text", device="cpu")
