"""Classifiers that read a picture's embedding: the model's own zero-shot head, or a linear probe where it has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from engine.errors import InputError

MIN_ITEMS = 5
"""Labels with fewer training items than this are left out."""

TEMPLATES = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""The seven templates that the CLIP authors' prompt engineering notes found to do most of the work of their eighty."""

_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class Head:
    """A linear classifier of unit embeddings: logits = embedding @ weight.T + bias.

    Attributes
    ----------
    classes : list of str
        Labels, in the order of the logits.
    weight, bias : float32 [C, e], [C]
    kind, definition : str
        "zero-shot" or "linear probe", and how it was made, for the record.
    dropped : dict
        Labels that are no class, with the number of their items in the training split.
    """

    classes: list[str]
    weight: Tensor
    bias: Tensor
    kind: str
    definition: str
    dropped: dict[str, int]

    def logits(self, embeddings: Tensor) -> Tensor:
        """Float32 [B, C] of unit embeddings [B, e]."""
        return torch.addmm(self.bias.to(embeddings.device), embeddings, self.weight.to(embeddings.device).T)

    def index(self, labels: ArrayLike) -> NDArray[np.int64]:
        """Class of every label, -1 where it is none."""
        places = {label: index for index, label in enumerate(self.classes)}
        return np.array([places.get(str(label), -1) for label in np.asarray(labels)], dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: what it is, not its weights."""
        return {
            "kind": self.kind,
            "definition": self.definition,
            "classes": len(self.classes),
            "dropped_labels": self.dropped,
        }


def usable_classes(labels: Sequence[str], least: int = MIN_ITEMS) -> tuple[list[str], dict[str, int]]:
    """Labels with at least ``least`` of the items, sorted, and the others with their counts; unlabelled items are none.

    Raises
    ------
    InputError
        If fewer than two are left.
    """
    names, counts = np.unique([label for label in labels if label], return_counts=True)
    found = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    classes = [name for name, count in found.items() if count >= least]
    if len(classes) < 2:
        raise InputError(
            f"Classification needs at least two labels with {least} training items each, and this corpus has "
            f"{len(classes)}: give its items labels (sub-folders, or a label column in the side-car file)."
        )
    return classes, {name: count for name, count in found.items() if count < least}


def linear_probe(
    embeddings: NDArray[np.float32],
    labels: Sequence[str],
    held_out: tuple[NDArray[np.float32], Sequence[str]] | None = None,
) -> Head:
    """L2-regularised multinomial logistic regression on unit embeddings, as in the CLIP paper's linear probe.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", arXiv 2103.00020, appendix A.3.

    Parameters
    ----------
    embeddings, labels : [n, e] and n
        Training items.
    held_out : (embeddings, labels), optional
        Items on which the strength of regularisation is chosen, by their cross-entropy; without them it is 10.

    Raises
    ------
    InputError
        If fewer than two labels have enough items.
    """
    from sklearn.linear_model import LogisticRegression

    classes, dropped = usable_classes(labels)
    head = Head(classes, torch.zeros(0, embeddings.shape[1]), torch.zeros(0), "linear probe", "", dropped)
    y = head.index(labels)
    x, y = embeddings[y >= 0], y[y >= 0]
    checked = None
    if held_out is not None:
        z = head.index(held_out[1])
        checked = (held_out[0][z >= 0], z[z >= 0]) if (z >= 0).any() else None
    best = None
    for strength in _STRENGTHS if checked else (10.0,):
        model = LogisticRegression(C=strength, max_iter=2000).fit(x, y)
        weight, bias = _both_classes(model.coef_, model.intercept_)
        loss = _cross_entropy(checked[0] @ weight.T + bias, checked[1]) if checked else 0.0
        if best is None or loss < best[0]:
            best = (loss, strength, weight, bias)
    assert best is not None
    _, strength, weight, bias = best
    chosen = "chosen on the validation split by its cross-entropy" if checked else "fixed"
    definition = (
        f"L2-regularised multinomial logistic regression (C = {strength:g}, {chosen}) on the model's unit image embeddings of "
        f"{len(x):,} training items in {len(classes)} labels"
    )
    return Head(classes, _tensor(weight), _tensor(bias), "linear probe", definition, dropped)


def zero_shot(
    labels: Sequence[str],
    embed_texts: Callable[[Sequence[str]], NDArray[np.float32]],
    logit_scale: float,
    templates: Sequence[str] = TEMPLATES,
) -> Head:
    """The zero-shot head of a model with a text tower: an ensemble of prompts for every label.

    The row of a class is the mean of the unit embeddings of its prompts, scaled to length 1 (arXiv 2103.00020, section
    3.1.4); logits are the model's own scale times the cosine. Cosines without that scale would give a cross-entropy near
    the logarithm of the number of classes whatever the picture.

    Parameters
    ----------
    labels : of the training items
        They say which classes there are; nothing is trained.
    embed_texts : callable
        Unit rows [n, e] of texts.
    logit_scale : float
        The factor on the cosines, exp of the checkpoint's parameter.
    """
    classes, dropped = usable_classes(labels)
    rows = []
    for name in class_names(classes):
        mean = np.asarray(embed_texts([template.format(name) for template in templates]), np.float64).mean(0)
        rows.append(logit_scale * mean / np.linalg.norm(mean))
    definition = (
        f"zero-shot: cosine with the mean embedding of {len(templates)} prompts for each of {len(classes)} labels, times the "
        f"model's own logit scale {logit_scale:.4g}"
    )
    return Head(classes, _tensor(np.stack(rows)), torch.zeros(len(classes)), "zero-shot", definition, dropped)


def class_names(labels: Sequence[str]) -> list[str]:
    """Labels as words: the last part of ``animal/mammal``, or all parts where two labels end alike; no underscores."""
    last = [label.rsplit("/", 1)[-1] for label in labels]
    names = [whole if last.count(part) > 1 else part for whole, part in zip(labels, last, strict=True)]
    return [" ".join(name.replace("/", " ").replace("_", " ").split()) for name in names]


def _both_classes(weight: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two classes come as one row of log-odds; softmax over (0, log-odds) is the same model."""
    if len(weight) > 1:
        return weight, bias
    return np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])


def _cross_entropy(logits: NDArray[Any], y: NDArray[np.int64]) -> float:
    return torch.nn.functional.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(y)).item()


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
