"""What a reconstruction costs the model: classification with reconstructed activations in place of the real ones.

Fidelity splices the SAE's reconstruction of every kept position into the model and asks a classifier about the picture
(the "loss recovered" of Bricken et al., "Towards Monosemanticity", 2023, for a classifier's accuracy and cross-entropy).
Beside it stand the original activations, and two ablations that bound it from below: all activations zero, and all equal to
their mean over the measured tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.metrics.topn import ON_OFF, ClassAtoms, level_name
from engine.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.sae import SparseAutoencoder

BATCH_ITEMS = 16

Rest = Callable[[NDArray[np.int64], Tensor], Tensor]
"""(item rows [B], activations [B, P, d]) -> what the classifier reads [B, e]: the rest of the model."""


class Classifier(Protocol):
    """What reads the model's output."""

    def index(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Class of every label, -1 where it is none."""

    def logits(self, embeddings: Tensor) -> Tensor:
        """[B, C] of embeddings [B, e]."""


class ClassificationSums:
    """Sums over classified items; ``top5`` counts an item whose class is among the five largest logits."""

    def __init__(self) -> None:
        self.items = self.right = self.top5 = 0
        self.loss = 0.0

    def add(self, logits: Tensor, truth: Tensor) -> None:
        """Add logits [B, C] of items whose classes are ``truth`` int64 [B]."""
        logits, truth = logits.detach().double().cpu(), truth.cpu()
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices == truth[:, None]
        self.items += len(truth)
        self.right += int(best[:, 0].sum())
        self.top5 += int(best.any(1).sum())
        self.loss += torch.nn.functional.cross_entropy(logits, truth, reduction="sum").item()

    def to_dict(self) -> dict[str, float | None]:
        """``accuracy``, ``top5`` (shares) and ``cross_entropy`` (nats, the mean); None without items."""
        if not self.items:
            return {"accuracy": None, "top5": None, "cross_entropy": None}
        shares = (self.right / self.items, self.top5 / self.items, self.loss / self.items)
        return dict(zip(("accuracy", "top5", "cross_entropy"), shares, strict=True))


def recovered(original: float | None, spliced: float | None, ablated: float | None) -> float | None:
    """(spliced - ablated) / (original - ablated): 1 when the splice costs nothing, 0 when it is no better than the ablation.

    The same formula serves a figure that should be large (accuracy) and one that should be small (cross-entropy). None
    when the ablation costs nothing, or a figure is missing.
    """
    if original is None or spliced is None or ablated is None or original == ablated:
        return None
    share = (spliced - ablated) / (original - ablated)
    return share if math.isfinite(share) else None


@torch.no_grad()
def references(
    store: ActivationStore,
    rows: NDArray[np.int64],
    classifier: Classifier,
    rest: Rest,
    progress: Progress | None = None,
) -> dict[str, dict[str, float | None]]:
    """Answers without an SAE: ``original`` activations, ``zero`` and ``mean`` ones (see the top of this file)."""
    progress = progress or SilentProgress()
    rows, classes = classified(store, rows, classifier)
    total = torch.zeros(store.d_model, dtype=torch.float64)
    for batch in store.batches(65536, rows=rows):
        total += batch.x.double().sum(0)
    mean = (total / max(len(rows) * store.n_positions, 1)).float()
    answers = {name: ClassificationSums() for name in ("original", "zero", "mean")}
    progress.start("classify without an SAE", len(rows))
    for start in range(0, len(rows), BATCH_ITEMS):
        chosen, truth = rows[start : start + BATCH_ITEMS], classes[start : start + BATCH_ITEMS]
        x = torch.stack([store.item(int(row)) for row in chosen])
        for name, put in (("original", x), ("zero", torch.zeros_like(x)), ("mean", mean.expand_as(x))):
            answers[name].add(classifier.logits(rest(chosen, put)), truth)
        progress.advance(len(chosen))
    progress.finish()
    return {name: sums.to_dict() for name, sums in answers.items()}


@torch.no_grad()
def measure_spliced(
    sae: SparseAutoencoder,
    store: ActivationStore,
    rows: NDArray[np.int64],
    classifier: Classifier,
    rest: Rest,
    ranking: ClassAtoms | None = None,
    levels: Sequence[int | None] = (),
    progress: Progress | None = None,
) -> dict[str, dict[str, float | None]]:
    """Answers with the SAE's reconstruction spliced in, and with only some of its atoms.

    Parameters
    ----------
    rows : int64 [n]
        Items of ``store`` to classify; those whose label is no class are left out.
    ranking, levels
        For top-n classification: the atoms of every class, and the n to measure (None means all atoms).

    Returns
    -------
    dict
        ``spliced``, then ``on-n`` and ``off-n`` for every level; each as ``ClassificationSums.to_dict``.
    """
    progress = progress or SilentProgress()
    rows, classes = classified(store, rows, classifier)
    device = next(sae.parameters()).device
    edits = [(side, level) for level in (levels if ranking else ()) for side in ON_OFF]
    answers = {"spliced": ClassificationSums()} | {
        f"{side}-{level_name(level)}": ClassificationSums() for side, level in edits
    }
    shape = (-1, store.n_positions, store.d_model)
    progress.start("classify with the SAE spliced in", len(rows))
    for start in range(0, len(rows), BATCH_ITEMS):
        chosen, truth = rows[start : start + BATCH_ITEMS], classes[start : start + BATCH_ITEMS]
        x = torch.cat([store.item(int(row)) for row in chosen]).to(device)
        codes, norm = sae.encode(x), sae.norm(x)
        x_hat = sae.decode(codes, norm).view(shape)
        plain = classifier.logits(rest(chosen, x_hat))
        answers["spliced"].add(plain, truth)
        for side, level in edits:
            assert ranking is not None
            of_token = truth.repeat_interleave(store.n_positions).to(device)
            edited = ranking.edit(codes, of_token, side, level)
            if edited is not codes:
                logits = classifier.logits(rest(chosen, sae.decode(edited, norm).view(shape)))
            else:  # all atoms on: the plain splice, at hand already
                logits = plain
            answers[f"{side}-{level_name(level)}"].add(logits, truth)
        progress.advance(len(chosen), f"accuracy {answers['spliced'].right / max(answers['spliced'].items, 1):.1%}")
    progress.finish()
    return {name: sums.to_dict() for name, sums in answers.items()}


def fidelity(reference: dict[str, dict[str, float | None]], spliced: dict[str, float | None]) -> dict[str, Any]:
    """Fidelity in one dictionary: the references, ``spliced``, and what share of each figure it recovered.

    ``recovered`` is measured against zero ablation, ``recovered_from_mean`` against mean ablation.
    """
    figures: dict[str, Any] = reference | {"spliced": spliced}
    for name, ablation in (("recovered", "zero"), ("recovered_from_mean", "mean")):
        figures[name] = {
            key: recovered(reference["original"][key], value, reference[ablation][key])
            for key, value in spliced.items()
        }
    return figures


def classified(
    store: ActivationStore, rows: NDArray[np.int64], classifier: Classifier
) -> tuple[NDArray[np.int64], Tensor]:
    """The rows whose label is a class, and their classes int64 [n]."""
    classes = classifier.index(store.items["label"].to_numpy()[rows])
    return rows[classes >= 0], torch.from_numpy(classes[classes >= 0])
