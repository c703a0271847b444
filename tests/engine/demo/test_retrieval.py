"""The text adapter: it learns, the same seed gives the same one, and what ships fits together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from engine.backbones.registry import REGISTRY
from engine.corpus import open_corpus
from engine.demo.retrieval import AdapterConfig, recall, train_adapter
from engine.files import read_json, sha256
from engine.paths import DEMO_CORPUS
from engine.progress import SilentProgress
from engine.retrieval.coarse.embedders.adapter import load_adapter
from engine.retrieval.coarse.embedders.base import embedder_key
from engine.retrieval.coarse.embedders.demo import FOLDER, IMAGES, NAME
from engine.retrieval.coarse.sentences import MODEL

SMALL = AdapterConfig(members=2, hidden=64, dropout=0.1, passes=60, batch=32, phrasings=2, text_lr=3e-3, image_lr=1e-3)


@pytest.fixture
def material() -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """Pictures and sentences that are two views of the same hidden thing, as unit vectors."""
    random = torch.Generator().manual_seed(0)
    seen, said = torch.randn(8, 24, generator=random), torch.randn(8, 20, generator=random)

    def material(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        thing = torch.randn(count, 8, generator=random)
        views = (thing @ seen, torch.tanh(thing @ said))
        return tuple(torch.nn.functional.normalize(view, dim=1) for view in views)  # type: ignore[return-value]

    return material


def test_it_learns_to_find_what_it_never_saw(material) -> None:
    images, sentences = material(256)
    worded = torch.stack([sentences, sentences], dim=1)
    adapter = train_adapter(images, sentences, worded, SMALL, SilentProgress())
    again = train_adapter(images, sentences, worded, SMALL, SilentProgress())
    for name, value in adapter.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[name], rtol=0, atol=0)
    assert adapter.shape.hidden == 128 and not adapter.training
    images, sentences = material(64)
    found = recall(adapter.image(images).numpy(), adapter.text(sentences).numpy(), [str(i) for i in range(64)])
    assert found["text-image"]["recall@1"] > 0.5 and found["image-text"]["recall@5"] > 0.8  # chance: 0.02, 0.08


def test_recall_counts_the_same_caption_as_right() -> None:
    images, texts = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[1, 0, 2]]
    assert recall(images, texts, ["a", "b", "c"])["text-image"]["recall@1"] == pytest.approx(1 / 3)
    assert recall(images, texts, ["A", "a", "c"])["text-image"]["recall@1"] == 1.0


def test_what_ships_fits_together() -> None:
    adapter, record = load_adapter(FOLDER)
    corpus, about = open_corpus(DEMO_CORPUS), record["embeddings"]
    assert record["title"] == NAME == "CLIP image tower + trained text adapter"
    assert record["image_tower"] == REGISTRY[IMAGES].revision and record["sentence_encoder"] == REGISTRY[MODEL].revision
    identity = {
        "revision": "; ".join(
            [
                f"adapter sha256:{sha256(FOLDER / 'adapter.safetensors')}",
                REGISTRY[IMAGES].revision,
                REGISTRY[MODEL].revision,
            ]
        ),
        "architecture": "CLIPVisionModelWithProjection + BertModel + adapter",
        "preprocessing": record["preprocessing"],
    }
    assert about["corpus"] == corpus.hash and about["embedder"] == embedder_key(identity)
    vectors = np.load(FOLDER / "embeddings.npy", allow_pickle=False)
    assert vectors.dtype == np.float16 and vectors.shape == (2, len(corpus), adapter.shape.image)
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float32), axis=2), 1, atol=2e-3)


def test_the_figures_that_ship_are_those_of_the_vectors_that_ship() -> None:
    items = open_corpus(DEMO_CORPUS).items
    rows = np.flatnonzero((items["split"] == "test").to_numpy())
    images, texts = np.load(FOLDER / "embeddings.npy").astype(np.float32)
    found = recall(images[rows], texts[rows], [items["caption"].iat[row] for row in rows])
    stated = read_json(FOLDER / "config.json")["recall"]["test"]
    for direction, figures in stated.items():
        for name, value in figures.items():
            assert found[direction][name] == pytest.approx(value, abs=0.005)  # float16 moves a near tie or two
    assert found["text-image"]["recall@1"] > 0.5 and found["image-text"]["recall@10"] > 0.85
