"""The demo's coarse stage: the text adapter trained on the corpus's training split, and the embeddings that ship.

A caption and its picture attract each other, all other pictures of the batch repel it, in both directions (symmetric
contrastive loss with a learned temperature, as CLIP is trained). Both towers are frozen and run once; what is trained sees
their outputs only, which takes a minute.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.activations import ActivationStore, extract
from engine.backbones import embedded, load_backbone
from engine.backbones.quiet import quiet
from engine.backbones.registry import REGISTRY
from engine.corpus import Corpus, open_corpus
from engine.demo.mllm.pairs import SAME_MEANING, phrase
from engine.errors import InputError
from engine.files import atomic_path, read_json, write_json
from engine.paths import DEMO_CORPUS, cache_dir
from engine.progress import Progress
from engine.retrieval.coarse.embedders.adapter import (
    CONFIG,
    Adapter,
    AdapterShape,
    merge_adapters,
    save_adapter,
)
from engine.retrieval.coarse.embedders.base import embedder_key
from engine.retrieval.coarse.embedders.demo import FOLDER, IMAGES, NAME, NOTE, DemoEmbedder
from engine.retrieval.coarse.sentences import MODEL as SENTENCES
from engine.retrieval.coarse.sentences import SentenceEncoder

DEPTHS = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """How the adapter is trained.

    Attributes
    ----------
    members : int
        Adapters that are trained from different seeds and merged into one.
    hidden, dropout : int, float
        Of each member's text MLP.
    passes, batch : int
        Times every caption is seen, and pictures that compete in a step.
    phrasings : int
        Wordings of every caption that are prepared; one is drawn each time.
    text_lr, image_lr, text_decay : float
        AdamW's learning rates and the weight decay of the text side.
    """

    members: int = 4
    hidden: int = 1024
    dropout: float = 0.5
    passes: int = 50
    batch: int = 512
    phrasings: int = 8
    text_lr: float = 1e-3
    image_lr: float = 1e-4
    text_decay: float = 0.1
    seed: int = 0


def build_retrieval(
    progress: Progress, out: Path = FOLDER, corpus: Path = DEMO_CORPUS, config: AdapterConfig = AdapterConfig()
) -> dict[str, Any]:
    """Train the adapter, embed the whole corpus, write both to ``out``; returns what ``config.json`` records.

    Raises
    ------
    AtomscopeError
        If the weights cannot be fetched, or a disk is full.
    """
    items = open_corpus(corpus)
    store = _store(items, progress)
    with quiet():
        encoder = SentenceEncoder(embedded.fetch(SENTENCES, progress))
    splits = items.items["split"].to_numpy()
    rows = {split: np.flatnonzero(splits == split) for split in ("train", "validation", "test")}
    captions = items.items["caption"].to_list()
    images = torch.from_numpy(np.array(store.embeddings, np.float32))
    sentences = torch.from_numpy(encoder.embed(captions))
    worded = _worded(items, rows["train"], encoder, config, progress)
    adapter = train_adapter(images[rows["train"]], sentences[rows["train"]], worded, config, progress)
    record: dict[str, Any] = {
        "title": NAME,
        "note": NOTE,
        "image_tower": REGISTRY[IMAGES].revision,
        "sentence_encoder": REGISTRY[SENTENCES].revision,
        "preprocessing": store.backbone["preprocessing"],
        "training": asdict(config),
    }
    save_adapter(adapter, out, record)
    embedder = DemoEmbedder("cpu", progress, out)  # through float16, as everyone will load it
    found = embedder.embed_known(images.numpy(), sentences.numpy())
    with atomic_path(out / "embeddings.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.stack(found).astype(np.float16))
    document = read_json(out / CONFIG)
    document["embeddings"] = {
        "corpus": items.hash,
        "embedder": embedder_key(embedder.identity),
        "order": ["image", "text"],
    }
    document["recall"] = {
        split: recall(found[0][rows[split]], found[1][rows[split]], [captions[row] for row in rows[split]])
        for split in ("validation", "test")
    }
    write_json(out / CONFIG, document)
    return dict(document)


def train_adapter(
    images: Tensor, sentences: Tensor, worded: Tensor, config: AdapterConfig, progress: Progress
) -> Adapter:
    """Train on cached features.

    Parameters
    ----------
    images, sentences : float32 [N, 512], float32 [N, 384]
        Unit embeddings of every picture and of its whole caption.
    worded : float32 [N, phrasings, 384]
        Unit embeddings of further wordings of the caption.

    Returns
    -------
    Adapter
        In evaluation mode.
    """
    members = []
    for member in range(config.members):
        stage = f"Training the text adapter ({member + 1} of {config.members})"
        torch.manual_seed(config.seed + member)
        members.append(_train_member(images, sentences, worded, config, stage, progress))
    return merge_adapters(members)


def _train_member(
    images: Tensor, sentences: Tensor, worded: Tensor, config: AdapterConfig, stage: str, progress: Progress
) -> Adapter:
    adapter = Adapter(
        AdapterShape(sentence=sentences.shape[1], hidden=config.hidden, image=images.shape[1]), config.dropout
    ).train()
    with torch.no_grad():
        adapter.image_map.bias.copy_(-images.mean(0))  # CLIP's images share a large common part that says nothing
    text = [*adapter.inner.parameters(), *adapter.outer.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": text, "lr": config.text_lr, "weight_decay": config.text_decay},
        {"params": list(adapter.image_map.parameters()), "lr": config.image_lr, "weight_decay": 0.0},
        {"params": [adapter.scale], "lr": 1e-2, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups)
    peaks = [group["lr"] for group in groups]
    same = (sentences @ sentences.T > SAME_MEANING).fill_diagonal_(False)
    batch = min(config.batch, len(images))
    per_pass = len(images) // batch
    total, order = config.passes * per_pass, torch.arange(batch)
    progress.start(stage, total, "steps")
    for step in range(total):
        if step % per_pass == 0:
            shuffled = torch.randperm(len(images))
        chosen = shuffled[step % per_pass * batch :][:batch]
        wording = torch.randint(worded.shape[1], (batch,))
        fade = min(1.0, (step + 1) / 20) * max(0.02, 0.5 * (1 + math.cos(math.pi * step / total)))
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * fade
        alike = adapter.text(worded[chosen, wording]) @ adapter.image(images[chosen]).T
        scores = (adapter.scale.exp().clamp(max=100) * alike).masked_fill(same[chosen][:, chosen], -math.inf)
        loss = (F.cross_entropy(scores, order) + F.cross_entropy(scores.T, order)) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        progress.advance(1, f"loss {loss.item():.3f}")
    progress.finish()
    return adapter


def recall(images: NDArray[np.float32], texts: NDArray[np.float32], captions: list[str]) -> dict[str, dict[str, float]]:
    """Recall@1/5/10 of text->image and image->text among N pairs; an answer with the same caption is right too."""
    scores = texts @ images.T
    words = np.array([caption.lower() for caption in captions])
    right = words[:, None] == words[None]
    found = {}
    for name, table in (("text-image", scores), ("image-text", scores.T)):
        ahead = (table > np.where(right, table, -np.inf).max(1, keepdims=True)).sum(1)
        found[name] = {f"recall@{depth}": float((ahead < depth).mean()) for depth in DEPTHS}
    return found


def _worded(
    items: Corpus, rows: NDArray[np.int64], encoder: SentenceEncoder, config: AdapterConfig, progress: Progress
) -> Tensor:
    """Embeddings of ``phrasings`` wordings of every caption, float32 [N, phrasings, 384]."""
    rng = np.random.default_rng(config.seed)
    captions, keywords = items.items["caption"], items.items["keywords"]
    texts = [
        phrase(captions.iat[int(row)], list(keywords.iat[int(row)]), rng)
        for row in rows
        for _ in range(config.phrasings)
    ]
    different = sorted(set(texts))
    progress.start("Embedding the wordings of the captions", len(different), "texts")
    parts = []
    for start in range(0, len(different), 256):
        parts.append(encoder.embed(different[start : start + 256]))
        progress.advance(len(parts[-1]))
    progress.finish()
    place = {text: number for number, text in enumerate(different)}
    found = np.concatenate(parts)[[place[text] for text in texts]]
    return torch.from_numpy(found.reshape(len(rows), config.phrasings, -1))


def _store(items: Corpus, progress: Progress) -> ActivationStore:
    """The cached CLIP embeddings of the corpus, extracted where they are missing."""
    path = cache_dir() / "stores" / "demo-clip-b16"
    try:
        store = ActivationStore.open(path)
        if store.corpus["hash"] == items.hash and store.n_items == len(items):
            return store
    except InputError:
        pass
    return extract(load_backbone(IMAGES, progress=progress), items, path, progress=progress)
