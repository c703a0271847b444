"""Embedders on tiny checkpoints of real architectures, against the models called by hand; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.backbones import embedded
from engine.backbones.vectors import unit
from engine.errors import AtomscopeError, InputError
from engine.retrieval.coarse.embedders import load_embedder
from engine.retrieval.coarse.embedders import sentence as sentence_module
from engine.retrieval.coarse.embedders.adapter import (
    Adapter,
    AdapterShape,
    load_adapter,
    merge_adapters,
    save_adapter,
)
from engine.retrieval.coarse.embedders.base import AsymmetricEmbedder, Embedder, embedder_key
from engine.retrieval.coarse.pool import embed_query
from engine.retrieval.search.query import Query

WORDS = "a red green blue round square thing picture of".split()
TEXTS = ["a red thing", "a picture of a blue round thing", "square " * 40]


def save_tokenizer(folder: Path) -> None:
    """A tokenizer of whole words, saved as a checkpoint has it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", "<s>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)


def save_dual(folder: Path, kind: str) -> Any:
    import transformers as t

    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    vision |= {"image_size": 16, "patch_size": 8}
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text |= {"vocab_size": 20, "max_position_embeddings": 12, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    torch.manual_seed(1)
    model: Any
    if kind == "siglip":
        model = t.SiglipModel(
            t.SiglipConfig(vision_config=vision, text_config=text | {"hidden_size": 32, "projection_size": 32})
        )
        name = "SiglipImageProcessor"
    else:
        model = t.CLIPModel(t.CLIPConfig(vision_config=vision, text_config=text, projection_dim=24))
        name = "CLIPImageProcessor"
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    steps = {"image_processor_type": name, "size": {"height": 16, "width": 16}, "do_center_crop": False}
    (folder / "preprocessor_config.json").write_text(
        json.dumps(steps | {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    )
    return model.eval()


@pytest.fixture(scope="module")
def pictures_() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 255, (20 + 5 * i, 30, 3), dtype=np.uint8)) for i in range(19)]


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_dual_encoder_is_the_model_called_by_hand(kind: str, tmp_path: Path, pictures_: list[Image.Image]) -> None:
    from transformers import AutoTokenizer

    model = save_dual(tmp_path, kind)
    embedder = load_embedder(str(tmp_path), "cpu")
    assert embedder.modalities == {"text", "image"} and embedder.identity["architecture"] == type(model).__name__
    assert embedder.identity["revision"].startswith("sha256:")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    padding: Any = "max_length" if kind == "siglip" else True
    inputs = tokenizer(TEXTS, padding=padding, truncation=True, max_length=12, return_tensors="pt")
    with torch.no_grad():
        wanted = model.get_text_features(**inputs).pooler_output.numpy()
    found = embedder.embed_texts(TEXTS)
    assert found.shape == (3, embedder.width) and found.dtype == np.float32
    np.testing.assert_allclose(found, unit(wanted), atol=1e-5)
    images = embedder.embed_images(pictures_)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    assert images.shape == (19, embedder.width) and np.abs(images[0] - images[1]).max() > 1e-3
    np.testing.assert_allclose(images[17:18], embedder.embed_images(pictures_[17:18]), atol=1e-5)
    assert embedder.embed_texts([]).shape == (0, embedder.width)


def test_a_checkpoint_that_does_not_fill_its_model_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_dual(tmp_path, "clip")
    weights = load_file(tmp_path / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="1 parameters are missing .text_projection.weight"):
        load_embedder(str(tmp_path), "cpu")


def test_an_image_tower_alone_takes_pictures_only(tiny_clip: str, pictures_: list[Image.Image]) -> None:
    embedder = load_embedder(tiny_clip, "cpu")
    assert embedder.modalities == {"image"} and embedder.embed_images(pictures_).shape == (19, 8)
    with pytest.raises(InputError, match="has no text side: it embeds images only"):
        embedder.embed_texts(["a thing"])


def test_a_multimodal_language_model_is_no_embedder(tiny_mllm: Callable[[str], str]) -> None:
    with pytest.raises(InputError, match="is no embedder: it does not give texts and images one common space"):
        load_embedder(tiny_mllm("llava"), "cpu")


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no model folder ./nowhere"):
        load_embedder("./nowhere")
    with pytest.raises(InputError, match="holds no config.json"):
        load_embedder(str(tmp_path))
    with pytest.raises(AtomscopeError, match="the model hub cannot be reached"):
        load_embedder("somebody/some-model")


def test_the_key_follows_what_decides_the_vectors() -> None:
    identity = {"name": "a", "revision": "1", "architecture": "X", "preprocessing": {"size": 2}, "note": ""}
    key = embedder_key(identity)
    assert embedder_key(identity | {"name": "b", "note": "n"}) == key
    assert len({key, *(embedder_key(identity | change) for change in ({"revision": "2"}, {"preprocessing": {}}))}) == 3
    unversioned = identity | {"revision": ""}
    assert embedder_key(unversioned) != embedder_key(unversioned | {"name": "b"})


def sentence_folder(folder: Path) -> Path:
    (folder / "0_Transformer").mkdir(parents=True)
    (folder / "modules.json").write_text("[]")
    (folder / "0_Transformer" / "model.safetensors").write_bytes(b"weights")
    return folder


def test_sentence_transformers_missing_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(sentence_module, "import_module", missing)
    with pytest.raises(
        AtomscopeError, match=r"needs the sentence-transformers library .* pip install 'atomscope\[rerank\]'"
    ):
        load_embedder(str(sentence_folder(tmp_path / "model")), "cpu")


def test_sentence_transformers_real(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="an optional extra: pip install '.[rerank]'")
    import transformers as t

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    t.BertModel(t.BertConfig(**shape, vocab_size=20, max_position_embeddings=64)).save_pretrained(tmp_path / "bert")
    save_tokenizer(tmp_path / "bert")
    model = library.SentenceTransformer(str(tmp_path / "bert"), device="cpu")
    model.save(str(tmp_path / "sentences"))
    embedder = load_embedder(str(tmp_path / "sentences"), "cpu")
    assert embedder.modalities == {"text"} and embedder.width == 16
    np.testing.assert_allclose(embedder.embed_texts(TEXTS[:2]), unit(model.encode(TEXTS[:2])), atol=1e-5)
    assert not isinstance(embedder, AsymmetricEmbedder)  # no prompts: vectors that were made of it before still fit
    assert embedder.identity["preprocessing"] == {"text_tokens": model.max_seq_length}
    with pytest.raises(InputError, match="has no image side: it embeds texts only"):
        embedder.embed_images([])


def save_bert(folder: Path, seed: int) -> str:
    import transformers as t

    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    t.BertModel(t.BertConfig(**shape, vocab_size=20, max_position_embeddings=64)).save_pretrained(folder)
    save_tokenizer(folder)
    return str(folder)


def asks_as_the_model_does(embedder: Embedder, model: Any) -> None:
    """Queries by ``encode_query``, items by ``encode_document``, which differ; and a pool asks so."""
    assert isinstance(embedder, AsymmetricEmbedder)
    asked, found = unit(model.encode_query(TEXTS[:2])), unit(model.encode_document(TEXTS[:2]))
    assert np.abs(asked - found).max() > 1e-2
    np.testing.assert_allclose(embedder.embed_text_queries(TEXTS[:2]), asked, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_texts(TEXTS[:2]), found, atol=1e-5)
    np.testing.assert_allclose(embed_query(embedder, Query(text=TEXTS[0]), 0.5), asked[0], atol=1e-5)
    with pytest.raises(InputError, match="has no image side: it embeds texts only"):
        embedder.embed_image_queries([])


@pytest.mark.parametrize("prompts", [{"query": "red green "}, {"query": "red ", "document": "blue "}])
def test_a_sentence_transformer_asks_with_its_prompts(tmp_path: Path, prompts: dict[str, str]) -> None:
    library = pytest.importorskip("sentence_transformers", reason="an optional extra: pip install '.[rerank]'")
    bert = save_bert(tmp_path / "bert", 0)
    model = library.SentenceTransformer(bert, device="cpu", prompts=prompts)
    model.save(str(tmp_path / "sentences"))
    embedder = load_embedder(str(tmp_path / "sentences"), "cpu")
    asks_as_the_model_does(embedder, model)
    tasks = {"query": "", "document": ""} | prompts
    assert embedder.identity["preprocessing"] == {"text_tokens": model.max_seq_length, "tasks": tasks}
    stale = embedder.identity | {"preprocessing": {"text_tokens": model.max_seq_length}}
    assert embedder_key(embedder.identity) != embedder_key(stale)


def test_a_router_asks_with_the_encoder_of_queries(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="an optional extra: pip install '.[rerank]'")
    from sentence_transformers.sentence_transformer.modules import Pooling, Router, Transformer

    sides = [
        [Transformer(save_bert(tmp_path / f"bert{n}", n)), Pooling(16, mode)] for n, mode in enumerate(("mean", "cls"))
    ]
    router = Router.for_query_document(query_modules=sides[0], document_modules=sides[1])
    model = library.SentenceTransformer(modules=[router], device="cpu")
    model.save(str(tmp_path / "sentences"))
    embedder = load_embedder(str(tmp_path / "sentences"), "cpu")
    asks_as_the_model_does(embedder, model)
    assert "tasks" in embedder.identity["preprocessing"]


def test_texts_that_are_found_by_a_model_with_prompts_are_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytest.importorskip("sentence_transformers", reason="an optional extra: pip install '.[rerank]'")
    from engine.corpus import open_corpus
    from engine.retrieval.coarse.collection import open_collection

    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    model = library.SentenceTransformer(save_bert(tmp_path / "bert", 0), device="cpu")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS[:2]))
    folders = []
    for name, prompts in {"plain": {}, "prompted": {"query": "red ", "document": "blue green "}}.items():
        model.prompts = {"query": "", "document": ""} | prompts
        model.save(str(tmp_path / name))
        collection = open_collection(open_corpus(tmp_path / "texts.txt"), load_embedder(str(tmp_path / name), "cpu"))
        np.testing.assert_allclose(collection.parts["text"], unit(model.encode_document(TEXTS[:2])), atol=1e-5)
        folders.append(collection.folder)
    assert folders[0] != folders[1]


def test_merged_adapters_are_the_mean_of_their_outputs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = AdapterShape(sentence=6, hidden=7, image=5)
    members = [Adapter(shape).eval() for _ in range(3)]
    for member in members:
        torch.nn.init.normal_(member.image_map.weight)
    merged, texts, images = merge_adapters(members), torch.randn(4, 6), torch.randn(4, 5)
    raw = torch.stack([m.outer(torch.nn.functional.gelu(m.inner(texts))) for m in members]).mean(0)
    torch.testing.assert_close(merged.text(texts), torch.nn.functional.normalize(raw, dim=-1))
    raw = torch.stack([m.image_map(images) for m in members]).mean(0)
    torch.testing.assert_close(merged.image(images), torch.nn.functional.normalize(raw, dim=-1))
    save_adapter(merged, tmp_path, {"preprocessing": {"size": 1}})
    loaded, record = load_adapter(tmp_path)
    assert record["preprocessing"] == {"size": 1} and loaded.shape.hidden == 21
    torch.testing.assert_close(loaded.text(texts), merged.text(texts), atol=2e-3, rtol=1e-2)
    with pytest.raises(InputError, match="holds no trained text adapter. Make it with: atomscope demo build retrieval"):
        load_adapter(tmp_path / "nowhere")


@pytest.mark.weights
@pytest.mark.skipif(not embedded.is_ready("minilm-l6-v2"), reason="atomscope demo weights minilm-l6-v2")
def test_the_demo_embedder_finds_a_picture_by_words() -> None:
    from engine.corpus import open_corpus
    from engine.paths import DEMO_CORPUS
    from engine.retrieval.coarse.collection import open_collection
    from engine.retrieval.coarse.pool import make_pool
    from engine.retrieval.search.query import Query, SearchOptions

    embedder = load_embedder("demo", "cpu")
    assert embedder.identity["title"] == "CLIP image tower + trained text adapter"
    collection = open_collection(open_corpus(DEMO_CORPUS), embedder)
    assert not collection.folder.exists() or set(collection.parts) == {"image", "text"}
    pool = make_pool(collection, Query(text="a red apple"), SearchOptions(top_k=3))
    assert ["apple" in collection.text(entry.item).lower() for entry in pool.entries] == [True] * 3
    if embedded.is_ready("clip-vit-b16"):  # the shipped vectors are what the towers give
        own = embedder.embed_images([collection.image(5)])[0]
        assert float(own @ collection.parts["image"][5]) > 0.999
