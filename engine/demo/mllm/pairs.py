"""Training material: pictures as cached patch tokens, captions in several forms, groups of hard negatives.

A group is a handful of pictures that the coarse stage confuses: near each other in CLIP's image space and in the text
encoder's space. Every caption of a group is judged on every picture of it, one match and the rest hard negatives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.activations import ActivationStore
from engine.corpus import Corpus

# How a caption of the demo corpus begins before it says what is shown.
_STYLE = re.compile(
    r"^(?:an?|the|some)\s+(?:3D emoji|line drawing|drawing|picture|photo(?:graph)?|painting|outline|silhouette|cartoon|"
    r"black silhouette|sketch|icon|symbol)\s+of\s+",
    re.I,
)
SAME_MEANING = 0.9
"""Captions with a larger cosine say the same: neither a match nor a mismatch of each other's pictures."""


@dataclass(frozen=True)
class TrainingPairs:
    """One split of the corpus, ready to learn from.

    Attributes
    ----------
    rows : int [N]
        Items of the corpus.
    patches : float16 [V, N, 196, 768]
        Patch tokens of CLIP's last but one block: of the picture itself, then of other views of it.
    captions, keywords : list
        Of every item.
    near : float32 [N, N]
        How easily two items are confused: mean of image cosine and caption cosine.
    same : bool [N, N]
        Pairs whose captions mean the same (the diagonal included).
    """

    rows: NDArray[np.int64]
    patches: Tensor
    captions: list[str]
    keywords: list[list[str]]
    near: NDArray[np.float32]
    same: NDArray[np.bool_]


def captioned(corpus: Corpus, store: ActivationStore, split: str) -> NDArray[np.int64]:
    """Items of ``split`` that have a caption."""
    has = (corpus.items["caption"] != "").to_numpy()
    return np.array([row for row in store.rows(split) if has[row]], np.int64)


def load_training_pairs(
    corpus: Corpus, store: ActivationStore, split: str, sentences: NDArray[np.float32]
) -> TrainingPairs:
    """The items of ``split`` that have a caption; ``sentences`` [items, 384] are unit embeddings of all captions."""
    captions = corpus.items["caption"].to_list()
    rows = captioned(corpus, store, split)
    patches = torch.stack([store.item(int(row))[1:].half() for row in rows])[None]
    images = np.asarray(store.embeddings[rows], np.float32)
    words = sentences[rows]
    alike = words @ words.T
    near = (images @ images.T + alike) / 2
    lowered = [captions[row].lower() for row in rows]
    same = alike > SAME_MEANING
    same |= np.array([[a == b for b in lowered] for a in lowered])
    keywords = [list(corpus.items["keywords"].iat[int(row)]) for row in rows]
    return TrainingPairs(rows, patches, [captions[row] for row in rows], keywords, near.astype(np.float32), same)


def groups(near: NDArray[np.float32], size: int, noise: float, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Every item once, in groups of ``size`` near ones; ``noise`` (in cosine units) makes them differ from pass to pass.

    Items left over at the end are dropped for this pass.
    """
    free = np.ones(len(near), bool)
    found = []
    for seed in rng.permutation(len(near)):
        if not free[seed]:
            continue
        free[seed] = False
        candidates = np.flatnonzero(free)
        if len(candidates) < size - 1:
            break
        closeness = near[seed, candidates] + rng.normal(0, noise, len(candidates))
        chosen = candidates[np.argpartition(-closeness, size - 2)[: size - 1]]
        free[chosen] = False
        found.append(np.array([seed, *chosen], np.int64))
    return [found[i] for i in rng.permutation(len(found))]


def phrase(caption: str, keywords: list[str], rng: np.random.Generator) -> str:
    """A caption as people may write it: whole, without its style ("A drawing of"), in lower case, or as key words."""
    draw = rng.random()
    if draw < 0.5:
        return caption
    plain = _STYLE.sub("", caption)
    if draw < 0.65:
        return plain[:1].upper() + plain[1:]
    if draw < 0.85 or len(keywords) < 2:
        return plain.rstrip(".").lower()
    kept = keywords[:4]
    return " ".join(kept[: int(rng.integers(1, len(kept) + 1))])


def as_dict(material: TrainingPairs) -> dict[str, Any]:
    """What a log says about it."""
    return {"items": len(material.rows), "same": int(material.same.sum() - len(material.rows)) // 2}
