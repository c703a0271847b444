"""The language atlas of the demo: WordNet glosses and captions through SmolLM2-135M, a sparsemax SAE, the held-out figures.

As for the picture atlas, every step is one of the ordinary commands, so whatever was finished is kept and taken up again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.activations import extract
from engine.atlas import Atlas, AtlasOptions, build_atlas
from engine.atlas.format.measured import record
from engine.backbones import load_backbone
from engine.corpus import open_corpus
from engine.demo.texts import build_texts
from engine.errors import InputError
from engine.evaluation import measure
from engine.evaluation.language_fidelity import LanguageFidelity
from engine.paths import DEMO_CORPUS, cache_dir
from engine.progress import Progress
from engine.sae import SparsemaxConfig, load_sae
from engine.training import TrainConfig, train

FIDELITY_CHUNKS = 48
"""Held-out chunks on which cross-entropy is measured, spread evenly: four passes of the whole model."""


@dataclass(frozen=True, kw_only=True)
class LanguageRecipe:
    """What the language atlas is made with. Its size decides the numbers: it ships with the project."""

    model: str = "smollm2-135m"
    layer: int = 15
    context: int = 64
    n_atoms: int = 2048
    scale: float = 0.6
    top_n: int = 12
    sample_items: int = 12
    neighbours: int = 6
    title: str = "SmolLM2-135M on WordNet glosses and captions"
    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            epochs=4.0, batch_tokens=2048, warmup_steps=100, lr=1e-3, dtype="float16", device="cpu"
        )
    )


RECIPE = LanguageRecipe()


def build_language_atlas(
    out: Path,
    progress: Progress,
    corpus: Path = DEMO_CORPUS,
    work: Path | None = None,
    recipe: LanguageRecipe = RECIPE,
    texts: Path | None = None,
) -> Path:
    """Build the language atlas at ``out``; intermediate results go to ``work``.

    Parameters
    ----------
    corpus : Path
        The picture corpus whose captions are taken.
    texts : Path, optional
        A text corpus to take instead of WordNet's glosses and the captions.

    Raises
    ------
    InputError
        If ``out`` exists.
    AtomscopeError
        If WordNet or the weights cannot be fetched, or a disk is full.
    """
    if out.exists():
        raise InputError(f"{out} exists. Delete it, or name another folder with -o.")
    work = work or cache_dir()
    texts = texts or build_texts(work / "texts" / "demo.jsonl", corpus, progress)
    device = recipe.training.device
    backbone = load_backbone(
        recipe.model, recipe.layer, device=device, progress=progress, modality="text", context=recipe.context
    )
    store = extract(backbone, open_corpus(texts), work / "stores" / "demo-smollm2", "float16", progress=progress)
    config = SparsemaxConfig(
        d_model=store.d_model, n_atoms=recipe.n_atoms, normalise="standardise", init="spread", scale=recipe.scale
    )
    (run,) = train([config], store, work / "runs" / "demo-smollm2", recipe.training, progress)
    options = AtlasOptions(
        title=recipe.title,
        top_n=recipe.top_n,
        sample_items=recipe.sample_items,
        neighbours=recipe.neighbours,
        device=device,
    )
    build_atlas(run, store, out, options, progress)
    sae, test = load_sae(run), store.rows("test")
    figures: dict[str, Any] = measure(sae, store, test, progress)
    chosen = test[:: max(len(test) // FIDELITY_CHUNKS, 1)][:FIDELITY_CHUNKS]
    figures |= LanguageFidelity.prepare(store, chosen, device, progress).measure(sae)
    record(Atlas.open(out), "test", {config.architecture: figures})
    return out
