"""``atomscope demo build mllm``: train the demo's multimodal model on the demo corpus and keep the trained part."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from engine.activations import extract
from engine.backbones import embedded, load_backbone
from engine.corpus import Corpus, open_corpus
from engine.demo.mllm.adapted import AdaptedModel
from engine.demo.mllm.calibrate import POOL, fit_prior, pool_log_odds
from engine.demo.mllm.config import MllmConfig
from engine.demo.mllm.pairs import TrainingPairs, as_dict, load_training_pairs
from engine.demo.mllm.train import train
from engine.demo.mllm.views import load_views
from engine.files import read_json, write_json
from engine.paths import DEMO_CORPUS, cache_dir
from engine.progress import Progress
from engine.retrieval.coarse.embedders import load_embedder
from engine.retrieval.coarse.sentences import MODEL, SentenceEncoder
from engine.retrieval.fine.demo_model import LANGUAGE, TRAINED, VISION, assemble, merge_trained_weights


def build_demo_mllm(
    progress: Progress,
    corpus_path: Path = DEMO_CORPUS,
    out: Path = TRAINED,
    work: Path | None = None,
    config: MllmConfig | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train projector and LoRA, keep the parameters that did best on the validation split in ``out``.

    Killed, it goes on from its last checkpoint. Two hours on one core, minutes on a GPU.

    Raises
    ------
    AtomscopeError
        If the weights cannot be fetched.
    """
    config, work = config or MllmConfig(), work or cache_dir() / "mllm"
    work.mkdir(parents=True, exist_ok=True)
    corpus = open_corpus(corpus_path)
    backbone = load_backbone(VISION, layer=-2, device=device, progress=progress)
    store = extract(backbone, corpus, cache_dir() / "stores" / "demo-clip-b16", progress=progress)
    sentences = SentenceEncoder(embedded.fetch(MODEL, progress)).embed(corpus.items["caption"].to_list())
    material, validation = (load_training_pairs(corpus, store, split, sentences) for split in ("train", "validation"))
    material = replace(
        material,
        patches=torch.cat(
            [material.patches, load_views(corpus, backbone, material.rows, config.views, work / "views.npy", progress)]
        ),
    )

    torch.manual_seed(config.seed)
    model, processor = assemble(progress)
    adapted = AdaptedModel(model, processor.tokenizer, config, device)
    best = train(adapted, material, validation, work, progress)
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "towers": [VISION, LANGUAGE],
        "corpus": corpus.hash,
        "train": as_dict(material),
        "validation": as_dict(validation),
        "config": asdict(config),
        "best": best,
        "history": read_json(work / "history.json")["history"],
        **calibrate(work / "best.safetensors", corpus, validation, config.rank, progress),
    }
    shutil.copyfile(work / "best.safetensors", out / "trained.safetensors")
    write_json(out / "training.json", document)
    return document


def calibrate(weights: Path, corpus: Corpus, material: TrainingPairs, rank: int, progress: Progress) -> dict[str, Any]:
    """Prior and default mode of the model with these trained parameters, from the coarse pools of ``material``."""
    embedder = load_embedder("demo")
    pictures = embedder.embed_images([corpus.load(int(row)) for row in material.rows])
    cosines = embedder.embed_texts(material.captions) @ pictures.T
    pools = np.argsort(-cosines, axis=1, kind="stable")[:, :POOL]
    model, processor = assemble(progress)
    merge_trained_weights(model, load_file(weights), rank)
    odds = pool_log_odds(model, processor.tokenizer, material, pools, progress)
    meant = np.unique([caption.lower() for caption in material.captions], return_inverse=True)[1]
    return fit_prior(odds, np.take_along_axis(cosines, pools, 1), meant[pools] == meant[:, None])
