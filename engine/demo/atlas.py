"""The demo atlas from the demo corpus: activations, the sparsemax SAE, TopK at its mean L0, the atlas, the held-out figures.

Every step is one of the ordinary commands with the settings of ``RECIPE``, so whatever was finished is kept and taken up again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.activations import extract
from engine.atlas import Atlas, AtlasOptions, build_atlas
from engine.atlas.format.measured import record
from engine.backbones import load_backbone
from engine.corpus import open_corpus
from engine.errors import InputError
from engine.evaluation import measure
from engine.paths import DEMO_CORPUS, cache_dir
from engine.progress import Progress
from engine.sae import BatchTopKConfig, JumpReLUConfig, SparsemaxConfig, TopKConfig, load_sae
from engine.training import TrainConfig, train


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the demo is made with; ``assets/demo/EXPERIMENTS.md`` tells what else was tried."""

    model: str = "clip-vit-b16"
    layer: int = -2
    n_atoms: int = 4096
    title: str = "CLIP ViT-B/16 on the demo corpus"
    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(epochs=8.0, lr=1e-3, dtype="float16", device="cpu")
    )


RECIPE = Recipe()


def build_demo_atlas(
    out: Path, progress: Progress, corpus: Path = DEMO_CORPUS, work: Path | None = None, recipe: Recipe = RECIPE
) -> Path:
    """Build the atlas of ``corpus`` at ``out``, which must lie beside the corpus; intermediate results go to ``work``.

    Raises
    ------
    InputError
        If ``out`` exists or does not lie beside the corpus.
    AtomscopeError
        If the weights cannot be fetched, or a disk is full.
    """
    if out.exists():
        raise InputError(f"{out} exists. Delete it, or name another folder beside {corpus} with -o.")
    if out.resolve().parent != corpus.resolve().parent:
        raise InputError(f"{out} must lie beside {corpus}, because it takes its pictures from there.")
    work = work or cache_dir()
    backbone = load_backbone(recipe.model, layer=recipe.layer, device=recipe.training.device, progress=progress)
    store = extract(backbone, open_corpus(corpus), work / "stores" / "demo-clip-b16", progress=progress)
    common: dict[str, Any] = {"d_model": store.d_model, "n_atoms": recipe.n_atoms}
    common |= {"normalise": "standardise", "init": "spread"}
    runs, test = work / "runs" / "demo", store.rows("test")
    (sparsemax,) = train([SparsemaxConfig(**common, scale=0.6)], store, runs / "sparsemax", recipe.training, progress)
    figures = measure(load_sae(sparsemax), store, test, progress)
    k = max(round(figures["l0_mean"]), 1)
    # Beside it, for the Compare page: SAEs at the mean L0 that sparsemax has found, stored small.
    beside = [
        TopKConfig(**common, k=k, dead_after=300_000),
        BatchTopKConfig(**common, k=k, dead_after=300_000),
        JumpReLUConfig(**common, target_l0=float(k), coefficient=0.003, bandwidth=0.01),
    ]
    small = replace(recipe.training, dtype="int8")
    folders = train(beside, store, runs / f"baselines-{k}", small, progress)
    baselines = {config.architecture: folder for config, folder in zip(beside, folders, strict=True)}
    options = AtlasOptions(title=recipe.title, corpus_beside=True, baselines=baselines, device=recipe.training.device)
    build_atlas(sparsemax, store, out, options, progress)
    measured = {name: measure(load_sae(folder), store, test, progress) for name, folder in baselines.items()}
    record(Atlas.open(out), "test", {"sparsemax": figures} | measured)
    return out
