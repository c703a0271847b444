"""The inputs of a build, opened and checked before any work begins."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.atlas.build.options import AtlasOptions
from engine.atlas.format.schema import FORMAT_MAJOR, FORMAT_MINOR
from engine.device import pick_device
from engine.errors import InputError
from engine.files import sha256

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.sae import SparseAutoencoder

SAE_FILES = ("config.json", "weights.safetensors")


@dataclass(frozen=True)
class BuildInputs:
    """The inputs of one build.

    Attributes
    ----------
    sae : SparseAutoencoder
        Loaded, on ``device``, for evaluation.
    sae_folder : Path
        Its run folder.
    baselines : dict of str to Path
        Run folders of further SAEs, by name.
    store : ActivationStore
        Activations that the SAE reads.
    options : AtlasOptions
    device : torch.device
        Where tokens are encoded.
    """

    sae: SparseAutoencoder
    sae_folder: Path
    baselines: dict[str, Path]
    store: ActivationStore
    options: AtlasOptions
    device: torch.device

    def of_the_pass(self) -> dict[str, Any]:
        """Everything that the result of the pass over the tokens depends on, JSON-ready: a change means a new pass."""
        return {
            "sae": [sha256(self.sae_folder / name) for name in SAE_FILES],
            "activations": self.store.hash,
            "format": [FORMAT_MAJOR, FORMAT_MINOR],
            **self.options.of_the_pass(),
        }

    def of_the_rest(self) -> dict[str, Any]:
        """Everything else that the later stages depend on, JSON-ready: a change means that they run again."""
        hashes = [sha256(folder / name) for folder in self.baselines.values() for name in SAE_FILES]
        return {"baselines_sha256": hashes, **self.options.of_the_rest()}


def open_inputs(sae_dir: Path, store: ActivationStore, out: Path, options: AtlasOptions) -> BuildInputs:
    """Load the SAE and check that everything fits.

    Raises
    ------
    InputError
        If a folder holds no SAE, the SAE and the store do not fit, ``out`` is something else than an atlas, or there is no
        such device.
    """
    from engine.sae import load_sae

    folder = run_folder(sae_dir)
    baselines = {name: run_folder(path) for name, path in options.baselines.items()}
    sae = load_sae(folder)
    _check(sae, store, out, options)
    for path in baselines.values():
        load_sae(path)
    device = pick_device(options.device)
    return BuildInputs(sae.to(device).eval(), folder, baselines, store, options, device)


def run_folder(path: Path) -> Path:
    """The folder that holds an SAE: ``path`` itself, or the only run in it.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    if (path / SAE_FILES[0]).is_file():
        return path
    runs = sorted(p.parent for p in path.glob(f"*/{SAE_FILES[0]}") if (p.parent / SAE_FILES[1]).is_file())
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise InputError(f"{path} holds no trained SAE. Train one with `atomscope train`.")
    raise InputError(f"{path} holds several SAEs: name one of them, {', '.join(str(run) for run in runs)}.")


def _check(sae: SparseAutoencoder, store: ActivationStore, out: Path, options: AtlasOptions) -> None:
    if sae.config.d_model != store.d_model:
        raise InputError(
            f"The SAE reads activations of width {sae.config.d_model}, the store holds width {store.d_model}: use the store "
            "the SAE was trained on."
        )
    if store.n_items == 0:
        raise InputError("The activation store holds no items: extract some with `atomscope extract`.")
    if out.exists() and not (out / "atlas.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is no atlas: choose another folder with -o.")
    if options.corpus_beside:
        corpus = Path(str(store.corpus.get("path") or "")).resolve()
        if not corpus.is_dir() or corpus.parent != out.resolve().parent:
            raise InputError(f"--corpus-beside needs the corpus in {out.resolve().parent}, but it is at {corpus}.")


def copy_saes(inputs: BuildInputs, folder: Path) -> None:
    """Copy the SAE, its training log if there is one, and the baselines into the atlas in ``folder``."""
    targets = {"sae": inputs.sae_folder} | {f"baselines/{name}": path for name, path in inputs.baselines.items()}
    for target, source in targets.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name in SAE_FILES:
            shutil.copyfile(source / name, folder / target / name)
    if (inputs.sae_folder / "training.parquet").is_file():
        shutil.copyfile(inputs.sae_folder / "training.parquet", folder / "training.parquet")
