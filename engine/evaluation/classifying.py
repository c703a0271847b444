"""What ``atomscope evaluate --fidelity --topn`` needs beside the activations: the rest of the model and a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.inspection.heads import Head, linear_probe, zero_shot
from engine.inspection.rest import Rest, rest_of_model
from engine.metrics.classification import fidelity, measure_spliced, references
from engine.metrics.topn import LEVELS, level_name, rank_atoms
from engine.progress import Progress

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.atlas import Atlas
    from engine.backbones import Backbone
    from engine.corpus import Corpus
    from engine.sae import SparseAutoencoder


@dataclass
class Classification:
    """Everything that is the same for all SAEs of one evaluation.

    Attributes
    ----------
    rows : int64 [n]
        Items that are classified.
    ranked_on : int64 [m]
        Training items on which the atoms of every class are ranked.
    """

    store: ActivationStore
    rows: NDArray[np.int64]
    ranked_on: NDArray[np.int64]
    head: Head
    rest: Rest
    how: str
    reference: dict[str, dict[str, float | None]]

    @classmethod
    def prepare(
        cls,
        store: ActivationStore,
        rows: NDArray[np.int64],
        atlas: Atlas | None,
        device: str,
        progress: Progress,
        most: int = 0,
    ) -> Classification:
        """Load the store's model, find or fit the classifier on the whole training split, and measure it without an SAE.

        ``most`` takes at most so many of ``rows``, evenly spread, and ranks atoms on four times as many; 0 takes all.

        Raises
        ------
        InputError
            If the store has no training split, the labels do not do, or the model is not to be had.
        """
        from engine.backbones import Backbone, load_backbone_of

        train = store.rows("train")
        if not len(train):
            raise InputError(
                f"{store.path} has no training split, on which the classifier is made and the atoms are ranked: name a store "
                "of the whole corpus with --acts."
            )
        spec = store.backbone
        if "embedding" not in spec:
            raise InputError(f"{store.path} holds no activations of an image model, so there is nothing to classify.")
        backbone = load_backbone_of(spec, store.path, device, progress)
        assert isinstance(backbone, Backbone)
        rest, how = rest_of_model(backbone, store, lambda: _corpus(store, atlas))
        head = _head(store, train, backbone, device)
        if head.dropped:
            progress.warn(f"too few training items, left out: {', '.join(head.dropped)}")
        rows, ranked_on = _thinned(rows, most), _thinned(train, 4 * most)
        return cls(store, rows, ranked_on, head, rest, how, references(store, rows, head, rest, progress))

    def measure(self, sae: SparseAutoencoder, topn: bool, threshold: float, progress: Progress) -> dict[str, Any]:
        """``fidelity`` and, if asked, ``topn`` of one SAE, JSON-ready."""
        ranking = None
        if topn:
            classes = self.head.index(self.store.items["label"].to_numpy()[self.ranked_on])
            ranking = rank_atoms(
                sae, self.store, self.ranked_on, classes, len(self.head.classes), threshold, progress=progress
            )
        answers = measure_spliced(sae, self.store, self.rows, self.head, self.rest, ranking, LEVELS, progress)
        figures: dict[str, Any] = {"fidelity": fidelity(self.reference, answers["spliced"])}
        if topn:
            levels = [level_name(level) for level in LEVELS]
            sides = {
                side: {level: answers[f"{side}-{level}"]["accuracy"] for level in levels} for side in ("on", "off")
            }
            figures["topn"] = {"threshold": threshold, "ranked_on": "train"} | sides
        return figures

    def to_dict(self) -> dict[str, Any]:
        """The classifier and how the rest of the model ran, JSON-ready."""
        used = int((self.head.index(self.store.items["label"].to_numpy()[self.rows]) >= 0).sum())
        return self.head.to_dict() | {"items": used, "rest_of_model": self.how}


def _thinned(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most ``most`` of the rows, evenly spread; all of them for 0."""
    if not most or len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def _head(store: ActivationStore, train: NDArray[np.int64], backbone: Backbone, device: str) -> Head:
    """The zero-shot head where the checkpoint has a text tower, else a linear probe."""
    labels = store.items["label"].to_numpy()
    dual = _dual_encoder(backbone, device)
    if dual is not None and dual.logit_scale is not None and dual.width == store.embeddings.shape[1]:
        return zero_shot(labels[train], dual.embed_texts, dual.logit_scale)
    held_out = store.rows("validation")
    return linear_probe(
        np.asarray(store.embeddings[train]),
        labels[train],
        (np.asarray(store.embeddings[held_out]), labels[held_out]) if len(held_out) else None,
    )


def _dual_encoder(backbone: Backbone, device: str) -> Any:
    """The model with its text tower, or None where the checkpoint is an image tower only."""
    from engine.backbones.checkpoints import find_checkpoint, load_config
    from engine.backbones.dual import DualEncoder, is_dual
    from engine.backbones.quiet import quiet

    with quiet():
        source = find_checkpoint(backbone.spec.name, revision=backbone.spec.revision)
        config = load_config(source)
    return DualEncoder(source, config, device) if is_dual(config) else None


def _corpus(store: ActivationStore, atlas: Atlas | None) -> Corpus:
    """The pictures the store was made from."""
    from engine.atlas.format.header import corpus_folder
    from engine.corpus import open_corpus

    path = corpus_folder(atlas.path, atlas.meta) if atlas is not None else Path(str(store.corpus.get("path") or ""))
    corpus = open_corpus(path)
    if corpus.hash != store.corpus["hash"]:
        raise InputError(f"The corpus {path} is not the one {store.path} was made from: it has changed.")
    return corpus
