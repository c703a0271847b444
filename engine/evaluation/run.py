"""``evaluate``: the SAEs of an atlas, or of training runs, measured on held-out data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.atlas import Atlas
from engine.atlas.format.measured import record
from engine.device import pick_device
from engine.errors import InputError
from engine.evaluation.classifying import Classification
from engine.evaluation.held_out import held_out_store, named_store
from engine.evaluation.language_fidelity import LanguageFidelity
from engine.evaluation.measure import measure
from engine.evaluation.other_seeds import load_other_seeds, stability_over_seeds
from engine.metrics.definitions import DEFINITIONS
from engine.metrics.topn import THRESHOLD
from engine.progress import Progress, SilentProgress
from engine.sae import load_sae

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.sae import SparseAutoencoder


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """The SAEs, the data and the metrics of an evaluation.

    Attributes
    ----------
    split : str
        Split of the corpus.
    fidelity : bool
        Also classify pictures, or predict next tokens, with the SAE's reconstruction in the place of the activations.
    topn : bool
        Also classify with only the top n atoms of a class, and without them; includes ``fidelity``.
    threshold : float
        Top-n: an atom counts for a token when its activation exceeds this.
    device : str
        auto, cpu, cuda or cuda:N.

    Raises
    ------
    InputError
        If ``threshold`` is not a finite number.
    """

    split: str = "test"
    fidelity: bool = False
    topn: bool = False
    threshold: float = THRESHOLD
    device: str = "auto"

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise InputError(f"The threshold of top-n must be a number, not {self.threshold}.")


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes
    ----------
    path : Path
        The atlas, or the first of the training runs.
    is_atlas : bool
        Whether ``path`` is an atlas.
    split : str
        Split of the corpus that was measured.
    saes : dict
        Name of each SAE -> its figures, JSON-ready; see ``engine.evaluation.measure.measure`` and ``DEFINITIONS``.
    classifier : dict or None
        What classified, JSON-ready ("definition", "rest_of_model", ...); None where nothing was classified.
    """

    path: Path
    is_atlas: bool
    split: str
    saes: dict[str, dict[str, Any]]
    classifier: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it with one sentence for every figure, JSON-ready."""
        measured = {key for figures in self.saes.values() for key in figures}
        definitions = {key: words for key, words in DEFINITIONS.items() if key in measured}
        document = {"path": str(self.path), "split": self.split, "saes": self.saes, "definitions": definitions}
        return document if self.classifier is None else document | {"classifier": self.classifier}


def evaluate(
    paths: Sequence[Path],
    options: EvaluationOptions,
    acts: Path | None = None,
    other_seeds: Sequence[Path] = (),
    write: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure an atlas's SAE and every SAE in its ``baselines/``, or training runs side by side.

    Parameters
    ----------
    paths : sequence of Path
        One atlas, or any number of run folders.
    acts : Path, optional
        Activation store to measure on. Runs need one; for an atlas the store is found or extracted, see
        ``held_out_store``.
    other_seeds : sequence of Path
        Runs of other seeds whose atoms are matched with those of the measured SAEs of the same architecture.
    write : bool
        Record the figures in the atlas.

    Raises
    ------
    InputError
        If the paths, the store or the other seeds do not fit together, or a classifier lacks what it needs.
    """
    where, progress = pick_device(options.device), progress or SilentProgress()
    atlas = None if (paths[0] / "config.json").is_file() else Atlas.open(paths[0])
    if atlas is not None and len(paths) > 1:
        raise InputError("Measure one atlas at a time; only run folders are measured together.")
    saes = {name: load_sae(folder).to(where) for name, folder in sae_folders(atlas, paths).items()}
    others = load_other_seeds(other_seeds, saes.values())
    if atlas is not None:
        store, rows = held_out_store(atlas, options.split, acts, options.device, progress)
    elif acts is None or write:
        raise InputError("A run folder brings no activations and no atlas to write to: give --acts, leave out --write.")
    else:
        store, rows = named_store(acts, options.split)
    _check_width(saes, store, paths[0])
    classification = language = None
    if options.fidelity and store.token_ids is not None:
        language = LanguageFidelity.prepare(store, rows, options.device, progress)
    elif options.fidelity or options.topn:
        classification = Classification.prepare(store, rows, atlas, options.device, progress)
    found: dict[str, dict[str, Any]] = {}
    for name, sae in saes.items():
        found[name] = measure(sae, store, rows, progress, stage=f"measure {name} on the {options.split} split")
        if others:
            found[name]["stability"] = stability_over_seeds(sae, others)
        if language is not None:
            found[name] |= language.measure(sae)
        if classification is not None:
            found[name] |= classification.measure(sae, options.topn, options.threshold, progress)
    if atlas is not None and write:
        record(atlas, options.split, found)
    classifier = None if classification is None else classification.to_dict()
    return Evaluation(paths[0], atlas is not None, options.split, found, classifier)


def sae_folders(atlas: Atlas | None, paths: Sequence[Path]) -> dict[str, Path]:
    """SAE folders by name: the atlas's own under its architecture, then every one in ``baselines/``; or the runs."""
    if atlas is None:
        return {str(path): path for path in paths}
    folders = {str(atlas.meta["sae"]["architecture"]): atlas.path / "sae"}
    for folder in sorted((atlas.path / "baselines").glob("*/config.json")):
        name = folder.parent.name
        folders[name if name not in folders else f"baselines/{name}"] = folder.parent
    return folders


def _check_width(saes: dict[str, SparseAutoencoder], store: ActivationStore, path: Path) -> None:
    for name, sae in saes.items():
        if sae.config.d_model != store.d_model:
            raise InputError(
                f"{store.path} has activations of width {store.d_model}, but {name} of {path} reads "
                f"{sae.config.d_model}: name the store it was trained on, or one of the same model and layer."
            )
